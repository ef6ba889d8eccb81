//! Written-out cases: what each format calls a record, and where reading goes on after a bad one.

use rowmill_ingest::{Chunks, CsvRows, Format, Options};

use crate::show;

#[test]
fn jsonl() {
    let check = |input: &str, expected: &[&str]| {
        assert_eq!(show(input, Format::Jsonl), expected, "{input:?}")
    };
    check("", &[]);
    check("\n \r\n\t\n", &[]);
    check("{\"a\":1}\r\n\n{\"b\":2}", &["1:{\"a\":1}", "3:{\"b\":2}"]);
    check("{\n}\n", &["1:{", "2:}"]);
}

#[test]
fn csv() {
    let check = |input: &str, expected: &[&str]| {
        assert_eq!(show(input, Format::Csv), expected, "{input:?}")
    };
    check("a,b\n1,2\n", &["1:a,b", "2:1,2"]);
    check("a,b\r\n\r\n1,2", &["1:a,b", "3:1,2"]);
    check("a\r1\r2", &["1:a", "2:1", "3:2"]);
    check("a,\"x\ny\r\nz\"\n1,2", &["1:a,\"x\ny\r\nz\"", "4:1,2"]);
    check(
        "\"say \"\"hi\"\"\",b\n1,2",
        &["1:\"say \"\"hi\"\"\",b", "2:1,2"],
    );
    // A quote inside an unquoted field is a character like any other.
    check("5\" disk,b\n1,2", &["1:5\" disk,b", "2:1,2"]);
    // An unclosed quote costs its own line.
    check(
        "a,b\n1,\"x\n2,y\n3,z\n",
        &["1:a,b", "2:1,\"x!", "3:2,y", "4:3,z"],
    );
}

#[test]
fn json() {
    let check = |input: &str, expected: &[&str]| {
        assert_eq!(show(input, Format::Json), expected, "{input:?}")
    };
    check("[]", &[]);
    check(" [ ] ", &[]);
    check("{}", &["1:{}"]);
    check("null", &["1:null"]);
    check(
        "[{\"a\":[1,{\"b\":\"]}\\\"\"}]},\n  2 , \"x\"]",
        &["1:{\"a\":[1,{\"b\":\"]}\\\"\"}]}", "2:2", "2:\"x\""],
    );
    check(
        "{\"a\":\n1}{\"b\":2}\n{\"c\":3}",
        &["1:{\"a\":\n1}", "2:{\"b\":2}", "3:{\"c\":3}"],
    );
    // What is no element of the array is a record of its own, and the next element is found.
    check(
        "[1 2, {\"a\":1},, 3,]x",
        &["1:1", "1:2!", "1:{\"a\":1}", "1:,!", "1:3", "1:]!", "1:x!"],
    );
    check("[1]\n[2]", &["1:1", "2:[2]!"]);
    check("[1, {\"a\":1}", &["1:1", "1:{\"a\":1}", "1:!"]);
    check(
        "{\"a\":1}}\n{\"b\":2}",
        &["1:{\"a\":1}", "1:}", "2:{\"b\":2}"],
    );
}

#[test]
fn json_goes_on_after_an_unclosed_record() {
    let check = |input: &str, expected: &[&str]| {
        assert_eq!(show(input, Format::Json), expected, "{input:?}")
    };
    check(
        "{\"a\":1,\n\"b\":[1}\n{\"a\":\"x\n{\"a\":3}\n{\"a\":4",
        &[
            "1:{\"a\":1,\n\"b\":[1}!",
            "3:{\"a\":\"x!",
            "4:{\"a\":3}",
            "5:{\"a\":4!",
        ],
    );
    check(
        "[\n  {\n    \"a\": {\n  },\n  {\n    \"a\": 2\n  },\n  {\n    \"a\": 3\n  }\n]",
        &[
            "2:{\n    \"a\": {\n  },!",
            "5:{\n    \"a\": 2\n  }",
            "8:{\n    \"a\": 3\n  }",
        ],
    );
}

#[test]
fn too_long_a_record_is_cut_and_passed_over() {
    let options = |format| Options {
        chunk_bytes: 4,
        record_bytes_max: 16,
        ..Options::new(format)
    };
    let check = |format, input: &str, kept: &[(&str, bool)]| {
        let found: Vec<_> = crate::read(input.as_bytes(), options(format))
            .into_iter()
            .map(|(_, _, _, raw, defect)| (String::from_utf8(raw).unwrap(), defect))
            .collect();
        let kept: Vec<_> = kept
            .iter()
            .map(|(text, defect)| ((*text).to_owned(), *defect))
            .collect();
        assert_eq!(found, kept, "{input:?}");
    };
    let long = "x".repeat(50);
    check(
        Format::Jsonl,
        &format!("1\n{long}\n2\n"),
        &[("1", false), (&long[..16], true), ("2", false)],
    );
    check(
        Format::Csv,
        &format!("1\n{long}\n2\n"),
        &[("1", false), (&long[..16], true), ("2", false)],
    );
    let document = format!("{{\"a\":\"{long}\"}}");
    check(
        Format::Json,
        &format!("[1,{document},2]"),
        &[("1", false), (&document[..16], true), ("2", false)],
    );
    check(
        Format::Csv,
        "1,\"a\n2,b\n3,c\n4,d\n5,e\n6,f\n",
        &[
            ("1,\"a", true),
            ("2,b", false),
            ("3,c", false),
            ("4,d", false),
            ("5,e", false),
            ("6,f", false),
        ],
    );
}

/// The record after an overlong one is read, wherever a chunk ends and whatever the overlong one holds.
#[test]
fn what_follows_an_overlong_record_is_read() {
    let check = |format, input: &str, expected: &[&str]| {
        for chunk_bytes in 1..40 {
            let options = Options {
                chunk_bytes,
                record_bytes_max: 8,
                ..Options::new(format)
            };
            let found: Vec<_> = crate::read(input.as_bytes(), options)
                .into_iter()
                .map(|(_, _, _, raw, _)| String::from_utf8(raw).unwrap())
                .collect();
            assert_eq!(found, expected, "{input:?} in chunks of {chunk_bytes}");
        }
    };
    check(Format::Csv, "123456789\n2\n3", &["12345678", "2", "3"]);
    check(Format::Csv, "12345678\n2\n3", &["12345678", "2", "3"]);
    // A quote in an overlong line may never be closed, so it costs that line only.
    check(Format::Csv, "\"2345678\"\n2\n3", &["\"2345678", "2", "3"]);
    check(Format::Csv, "\"2345678901\n2\n3", &["\"2345678", "2", "3"]);
    check(Format::Jsonl, "12345678\r\n2", &["12345678", "2"]);
    check(Format::Jsonl, "123456789\n2", &["12345678", "2"]);
    // What is left of an element begins with a bracket or a comma, and is no element of its own.
    check(Format::Json, "[[1,2,3,4],5]", &["[1,2,3,4", "5"]);
    check(Format::Json, "[[1,2,3,44],5]", &["[1,2,3,4", "5"]);
    check(Format::Json, "[[1,2,3, ,4],5]", &["[1,2,3, ", "5"]);
    check(Format::Json, "[12345678,5]", &["12345678", "5"]);
    check(Format::Json, "[[{\"a\":1}],5]", &["[{\"a\":1}", "5"]);
    check(Format::Json, "[{\"a\":12]", &["{\"a\":12"]);
    // An overlong record that is not closed ends before the next line that starts as it does.
    check(
        Format::Json,
        "{\"a\":\"123\n{\"b\":2}\n{\"b\":3}",
        &["{\"a\":\"12", "{\"b\":2}", "{\"b\":3}"],
    );
    check(
        Format::Json,
        "[\n  {\"a\":[[1,2,\n    {}\n  {\"b\":2},\n  {\"b\":3}\n]",
        &["{\"a\":[[1", "{\"b\":2}", "{\"b\":3}"],
    );
}

#[test]
fn formats_are_told_apart() {
    let check = |extension, head: &str, expected| {
        assert_eq!(
            Format::detect(extension, head.as_bytes()),
            expected,
            "{extension:?} {head:?}"
        );
    };
    check(Some("csv"), "{", Format::Csv);
    check(Some("NDJSON"), "[1]\n", Format::Jsonl);
    check(Some("json"), "{\"a\":1}\n{\"a\":2}", Format::Jsonl);
    check(Some("json"), "{\n\"a\":1}\n", Format::Json);
    check(Some("json"), "{\"a\":1}{\"a\":2}\n", Format::Json);
    check(Some("json"), "\u{feff} [\n", Format::Json);
    check(Some("json"), "version https", Format::Jsonl);
    check(None, "a,b\n1,2\n", Format::Csv);
    check(None, "{\"a\":1}\n", Format::Jsonl);
    check(Some("log"), "", Format::Csv);
}

#[test]
fn headers_and_fields() {
    let input: &[u8] = b"\xef\xbb\xbfid,\"na\nme\"\r\n1,\"x, \"\"y\"\"\"\r\n2,\xff\r\n3,z,9\r\n";
    let mut chunks = Chunks::new(input, Options::new(Format::Csv));
    assert_eq!(chunks.take_header().unwrap().unwrap(), ["id", "na\nme"]);
    let chunk = chunks.next().unwrap().unwrap();
    let positions: Vec<_> = chunk
        .records()
        .map(|r| (r.position.number, r.position.line, r.position.offset))
        .collect();
    assert_eq!(positions, [(1, 3, 15), (2, 4, 29), (3, 5, 34)]);
    let rows = CsvRows::parse(&chunk, b',');
    let fields: Vec<Option<Vec<&str>>> = rows
        .iter()
        .map(|row| row.map(|row| row.fields().collect()))
        .collect();
    assert_eq!(
        fields,
        [Some(vec!["1", "x, \"y\""]), None, Some(vec!["3", "z", "9"])]
    );
    assert!(chunks.next().is_none());
    assert_eq!(
        Chunks::new(&b""[..], Options::new(Format::Csv))
            .take_header()
            .unwrap(),
        None
    );
    let latin1 = Chunks::new(&b"na\xefve\n1\n"[..], Options::new(Format::Csv)).take_header();
    assert_eq!(
        latin1.unwrap_err().to_string(),
        "the header cannot be read: it is not valid UTF-8"
    );
}
