//! A listening event as a line of JSON or CSV.

use rowmill_ingest::Format;

use super::session::Listen;

pub(super) const CSV_HEADER: &str = "artist,auth,firstName,gender,itemInSession,lastName,length,level,location,method,page,\
                                     registration,sessionId,song,status,ts,userAgent,userId";

/// Appends the record, without a line break.
pub(super) fn record(listen: &Listen, format: Format, out: &mut Vec<u8>) {
    for (index, (name, value)) in fields(listen).into_iter().enumerate() {
        match format {
            Format::Csv => {
                out.extend_from_slice(if index == 0 { b"" } else { b"," });
                csv_field(value.text(), out);
            }
            Format::Jsonl | Format::Json => {
                out.extend_from_slice(if index == 0 { b"{\"" } else { b",\"" });
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                json_field(&value, out);
            }
        }
    }
    if format != Format::Csv {
        out.push(b'}');
    }
}

/// Makes the record unreadable: a JSON document is cut off, a CSV row has a field too many.
pub(super) fn break_record(record: &mut Vec<u8>, format: Format) {
    match format {
        Format::Csv => record.extend_from_slice(b",?"),
        Format::Jsonl | Format::Json => {
            record.pop();
            record.extend_from_slice(b",}");
        }
    }
}

enum Field<'a> {
    Text(&'a str),
    Number(String),
    Null,
}

impl Field<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Number(text) => text,
            Self::Null => "",
        }
    }
}

fn fields(listen: &Listen) -> [(&'static str, Field<'_>); 18] {
    let track = listen.track.as_ref();
    let is_number = listen.ts.bytes().all(|byte| byte.is_ascii_digit());
    [
        (
            "artist",
            track.map_or(Field::Null, |track| Field::Text(&track.artist)),
        ),
        ("auth", Field::Text("Logged In")),
        ("firstName", Field::Text(listen.first_name)),
        ("gender", Field::Text(listen.gender)),
        (
            "itemInSession",
            Field::Number(listen.item_in_session.to_string()),
        ),
        ("lastName", Field::Text(listen.last_name)),
        (
            "length",
            track.map_or(Field::Null, |track| Field::Number(track.length.clone())),
        ),
        ("level", Field::Text(listen.level)),
        ("location", Field::Text(listen.location)),
        ("method", Field::Text(listen.method)),
        ("page", Field::Text(listen.page)),
        (
            "registration",
            Field::Number(format!("{}.0", listen.registration_ms)),
        ),
        ("sessionId", Field::Number(listen.session_id.to_string())),
        (
            "song",
            track.map_or(Field::Null, |track| Field::Text(&track.song)),
        ),
        ("status", Field::Number(listen.status.to_string())),
        (
            "ts",
            if is_number {
                Field::Number(listen.ts.clone())
            } else {
                Field::Text(&listen.ts)
            },
        ),
        ("userAgent", Field::Text(listen.user_agent)),
        ("userId", Field::Text(&listen.user_id)),
    ]
}

fn csv_field(text: &str, out: &mut Vec<u8>) {
    if text.contains([',', '"', '\n', '\r']) {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

fn json_field(field: &Field<'_>, out: &mut Vec<u8>) {
    match field {
        Field::Null => out.extend_from_slice(b"null"),
        Field::Number(text) => out.extend_from_slice(text.as_bytes()),
        Field::Text(text) => serde_json::to_writer(out, text).expect("writing to memory"),
    }
}
