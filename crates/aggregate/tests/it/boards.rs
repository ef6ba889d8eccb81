//! Leaderboards: what they say is what sorting everything says.

use proptest::prelude::*;
use rowmill_aggregate::{Period, rank, read_board, read_row};

use crate::plays::{Aggregated, hours, plan, play, row};

proptest! {
    #[test]
    fn a_board_is_the_head_of_everything_in_order(plays in prop::collection::vec(play(), 1..60)) {
        let plan = plan();
        let rows: Vec<_> = plays.iter().enumerate().map(|(id, play)| row(&plan, id, *play)).collect();
        let all: Vec<_> = rows.iter().map(|row| plan.observe(row).unwrap()).collect();
        let mut aggregated = Aggregated::default();
        aggregated.update(&plan, &[&all], &hours(&plays), false);
        let names = plan.figure_names();
        let mut stored: Vec<_> = aggregated.read().iter().flat_map(|row| read_row(&plan, row).unwrap()).collect();
        stored.retain(|stored| stored.dimension == "event_type");
        let periods: std::collections::BTreeSet<Period> = stored.iter().map(|stored| stored.period).collect();
        for period in periods {
            for by in ["count", "length_sum"] {
                let figure = names.iter().position(|name| name == by).unwrap();
                let mut sorted: Vec<_> = stored.iter().filter(|stored| stored.period == period).collect();
                let place = |stored: &&rowmill_aggregate::StoredFigures| rank(stored.figures.value(figure));
                sorted.sort_by(|a, b| place(b).total_cmp(&place(a)).then_with(|| a.value.cmp(&b.value)));
                let expected: Vec<_> = sorted.iter().take(2).map(|stored| (stored.value.clone(), stored.figures.texts())).collect();
                let key = format!("_top#event_type#{}", period.date());
                let cell = (period.family().to_owned(), rowmill_aggregate::board_name(period, by).into_bytes());
                let json = &aggregated.rows[key.as_bytes()][&cell];
                let board = read_board(plan.layout(), json).unwrap();
                let board: Vec<_> = board.into_iter().map(|entry| (entry.value, entry.figures)).collect();
                prop_assert_eq!(board, expected, "{} {}", period, by);
            }
        }
    }
}
