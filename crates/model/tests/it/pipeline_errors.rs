//! What is wrong with a pipeline file is said at once, with its place and what was probably meant.

use insta::assert_snapshot;
use rowmill_model::Pipeline;

const GOOD: &str = "[pipeline]
name = 'p'
[event]
user_id = 'u'
timestamp = 't'
[fields]
length = { type = 'float' }
level = { type = 'string' }
";

fn error(text: &str) -> String {
    Pipeline::parse(text).unwrap_err().to_string()
}

fn after_good(text: &str) -> String {
    error(&format!("{GOOD}{text}"))
}

#[test]
fn unknown_keys() {
    assert_snapshot!(after_good("[fields.song]\ntype = 'string'\nrequird = true"), @"11:1: unknown key `requird` in [fields.song]; did you mean `required`?");
    assert_snapshot!(after_good("[agregates]\n"), @"9:2: unknown key `agregates` in file; did you mean `aggregates`?");
    assert_snapshot!(after_good("[zzz]\n"), @"9:2: unknown key `zzz` in file");
}

#[test]
fn wrong_types_and_words() {
    assert_snapshot!(after_good("[fields.song]\ntype = 'text'"), @"10:8: `text` is no type of [fields.song], which is one of `string`, `int`, `float`, `bool`, `timestamp`, `json`");
    assert_snapshot!(after_good("[fields.song]\ntype = 'strnig'"), @"10:8: `strnig` is no type of [fields.song], which is one of `string`, `int`, `float`, `bool`, `timestamp`, `json`; did you mean `string`?");
    assert_snapshot!(after_good("[fields.plays]\ntype = 'int'\nmin = 1.5"), @"11:7: `min` of [fields.plays] is to be a whole number, not a value of type float");
    assert_snapshot!(after_good("[fields.song]\ntype = 'string'\nrequired = 'yes'"), @"11:12: `required` of [fields.song] is to be true or false, not a value of type string");
    assert_snapshot!(after_good("[fields.song]\ntype = 'string'\npattern = '('"), @"11:11: `(` is no pattern: unclosed group");
    assert_snapshot!(after_good("[measures.length]\nstats = ['mean']"), @"10:10: `mean` is no statistic; there are count, sum, min, max, avg, and p1 to p99");
}

#[test]
fn names_that_do_not_exist() {
    assert_snapshot!(after_good("[[aggregates]]\ndimension = 'lvel'"), @"10:13: there is no field `lvel`; did you mean `level`?");
    assert_snapshot!(after_good("[measures.lenght]\n"), @"9:11: there is no field `lenght`; did you mean `length`?");
    assert_snapshot!(after_good("[measures.level]\n"), @"9:11: `level` is no number and cannot be measured");
    assert_snapshot!(after_good("[distinct]\nusers = 'userid'"), @"10:9: there is no field `userid`; did you mean `user_id`?");
}

#[test]
fn duplicates_and_reserved_names() {
    assert_snapshot!(after_good("[fields.length]\ntype = 'int'"), @"9:9: duplicate key");
    assert_snapshot!(after_good("[fields.userId]\ntype = 'string'"), @"9:9: `userId` is no stored name: those are in snake_case and do not start with `_`; name the source with `from`");
    assert_snapshot!(after_good("[fields.user_id]\ntype = 'string'"), @"9:9: `user_id` is set in [event] and cannot be a field as well");
    assert_snapshot!(after_good("[[rules]]\nname = 'r'\ncheck = 'true'\n[[rules]]\nname = 'r'\ncheck = 'false'"), @"14:9: a second rule is called `r`");
}

#[test]
fn what_is_missing() {
    assert_snapshot!(error(""), @"
    1:1: file has no `pipeline`
    1:1: file has no `event`
    ");
    assert_snapshot!(error("[pipeline]\n[event]\ntimestamp = { format = 'unix_sec' }"), @"
    1:1: [pipeline] has no `name`
    2:1: [event] has no `user_id`
    2:1: [event] has no `timestamp`
    3:13: [event.timestamp] has no `from`
    3:24: `unix_sec` is no timestamp format; did you mean `unix_s`?
    ");
    assert_snapshot!(after_good("[event2"), @"9:8: unclosed table, expected `]`");
}

/// One pass finds everything.
#[test]
fn all_problems_are_reported() {
    assert_snapshot!(after_good("[fields.a]\n[fields.b]\ntype = 'int'\nmaximum = 3\n[[aggregates]]\ndimension = 'c'\n[csv]\ndelimiter = '::'"), @"
    9:1: [fields.a] has no `type`
    12:1: unknown key `maximum` in [fields.b]
    14:13: there is no field `c`
    16:13: `::` is no delimiter, which is one ASCII character or `tab`
    ");
}
