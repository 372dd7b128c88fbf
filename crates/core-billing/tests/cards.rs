//! Tables of prices that cannot be used are refused with file, line, column and a stable code.

use core_billing::{BookFiles, CardError, PriceBook};

const HEADER: &str =
    "market,country_iso,calling_code,category,currency,rate,effective_from,source\n";

fn with_rates(rates: &[u8]) -> Result<PriceBook, CardError> {
    PriceBook::parse(BookFiles {
        per_message: rates,
        ..BookFiles::BUILTIN
    })
}

fn refused(row: &str) -> (u64, String, &'static str) {
    let good = "Brazil,BR,55,utility,USD,0.0068,2025-07-01,test\n";
    let error = with_rates(format!("{HEADER}{good}{row}\n").as_bytes())
        .err()
        .unwrap_or_else(|| panic!("accepted: {row}"));
    assert_eq!(error.file, "rates_pmp.csv");
    (error.line, error.column.clone(), error.problem.code())
}

fn file_refused(bytes: &[u8]) -> (u64, &'static str) {
    let error = with_rates(bytes).err().expect("accepted");
    (error.line, error.problem.code())
}

#[test]
fn the_builtin_book_is_read() {
    let book = PriceBook::builtin().unwrap();
    assert_eq!(book.eras().len(), 4);
    assert_eq!(book.markets().names().count(), 47);
}

/// A row, the column it is refused for, and the code.
const BAD_ROWS: &[(&str, &str, &str)] = &[
    (
        "Brazil,BR,55,marketing,USD,\"0,0456\",2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,\"1,000.5\",2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,4.56e-2,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,NaN,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,inf,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,-,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,n/a,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,1.2.3,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,-0.05,2026-10-01,t",
        "rate",
        "amount.negative",
    ),
    (
        "Brazil,BR,55,marketing,USD,0.0000,2026-10-01,t",
        "rate",
        "amount.zero",
    ),
    (
        "Brazil,BR,55,marketing,USD,0.0456789,2026-10-01,t",
        "rate",
        "amount.precision",
    ),
    (
        "Brazil,BR,55,marketing,USD,1000000000000,2026-10-01,t",
        "rate",
        "amount.range",
    ),
    (
        "Brazil,BR,55,marketing,USD,99999999999999999999,2026-10-01,t",
        "rate",
        "amount.range",
    ),
    (
        "Brazil,BR,55,marketing,USD,０.０５,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,٠٫٠٥,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,0.05\u{a0},2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,$0.05,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,=1+1,2026-10-01,t",
        "rate",
        "amount.format",
    ),
    (
        "Brazil,BR,55,marketing,,0.05,2026-10-01,t",
        "currency",
        "currency",
    ),
    (
        "Brazil,BR,55,marketing,EURO,0.05,2026-10-01,t",
        "currency",
        "currency",
    ),
    (
        "Brazil,BR,55,marketing,usd,0.05,2026-10-01,t",
        "currency",
        "currency",
    ),
    (
        "Atlantis,AT,55,marketing,USD,0.05,2026-10-01,t",
        "market",
        "market.unknown",
    ),
    (
        "Brasilien,BR,55,marketing,USD,0.05,2026-10-01,t",
        "market",
        "market.unknown",
    ),
    (
        "Brazil,BR,55,MARKETING_LITE,USD,0.05,2026-10-01,t",
        "category",
        "category",
    ),
    (
        "Brazil,BR,55,marketing,USD,0.05,,t",
        "effective_from",
        "date.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,0.05,01/10/2026,t",
        "effective_from",
        "date.format",
    ),
    (
        "Brazil,BR,55,marketing,USD,0.05,2026-10-01T00:00Z,t",
        "effective_from",
        "date.format",
    ),
    (
        "Brazil,BR,55,utility,USD,0.0069,2025-07-01,t",
        "effective_from",
        "card.overlap",
    ),
    (
        "Brazil,BR,55,marketing,USD,0.05,2026-10-01",
        "",
        "csv.fields",
    ),
    (
        "Brazil,BR,55,marketing,USD,0,05,2026-10-01,t",
        "",
        "csv.fields",
    ),
    (
        "\"Brazil,BR,55,marketing,USD,0.05,2026-10-01,t",
        "",
        "csv.fields",
    ),
    (
        "Brazil,BR,55,marketing,USD,0.05,2026-10-01,a\u{0}b",
        "",
        "text.control",
    ),
];

#[test]
fn rows_are_refused_with_their_place() {
    for (row, column, code) in BAD_ROWS {
        assert_eq!(refused(row), (3, (*column).to_owned(), *code), "{row}");
    }
}

#[test]
fn files_are_refused_as_a_whole() {
    assert_eq!(file_refused(HEADER.as_bytes()), (0, "rates.empty"));
    assert_eq!(file_refused(b""), (1, "csv.header"));
    let utf16: Vec<u8> = HEADER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(
        file_refused(&[b"\xff\xfe", &utf16[..]].concat()),
        (0, "encoding")
    );
    let latin1 = [
        HEADER.as_bytes(),
        b"S\xe3o,BR,55,utility,USD,1,2026-01-01,t\n",
    ]
    .concat();
    assert_eq!(file_refused(&latin1), (0, "encoding"));
    assert_eq!(
        file_refused(HEADER.replace(',', ";").as_bytes()),
        (1, "csv.header")
    );
    assert_eq!(
        file_refused(HEADER.replace("rate,", "").as_bytes()),
        (1, "csv.header")
    );
    assert_eq!(
        file_refused(HEADER.replace("rate,", "price,").as_bytes()),
        (1, "csv.header")
    );
    assert_eq!(
        file_refused(HEADER.replace("rate,", "rate,rate,").as_bytes()),
        (1, "csv.header")
    );
    assert_eq!(file_refused(&vec![b'x'; 9 << 20]), (0, "limit.size"));
}

#[test]
fn harmless_differences_are_accepted() {
    let row = "Brazil,BR,55,utility,USD,0.0068,2025-07-01,\"=cmd|' /C calc'!A0\"";
    let columns = "category,market,country_iso,calling_code,currency,rate,effective_from,source";
    for file in [
        format!("\u{feff}{HEADER}{row}\n"),
        format!("{HEADER}{row}").replace('\n', "\r\n"),
        format!("{columns}\nutility,Brazil,BR,55,USD,0.0068,2025-07-01,other order\n"),
    ] {
        assert!(with_rates(file.as_bytes()).is_ok(), "{file}");
    }
}

fn markets_refused(rows: &str) -> &'static str {
    let header = "country,country_iso,calling_code,market_2025_07_01,market_2026_10_01,notes\n";
    let error = PriceBook::parse(BookFiles {
        markets: format!("{header}{rows}").as_bytes(),
        ..BookFiles::BUILTIN
    });
    error.err().expect("accepted").problem.code()
}

#[test]
fn every_country_has_one_market() {
    let others = "All other countries,,varies,Other,,\n";
    assert_eq!(markets_refused("Brazil,BR,55,Brazil,,\n"), "market.gap");
    let twice = format!("{others}Brazil,BR,55,Brazil,,\nBrasil,BR,56,Brazil,,\n");
    assert_eq!(markets_refused(&twice), "market.overlap");
    let shared = format!("{others}Brazil,BR,55,Brazil,,\nChile,CL,55,Chile,,\n");
    assert_eq!(markets_refused(&shared), "market.overlap");
    let none = format!("{others}Brazil,BR,55,,Brazil,\n");
    assert_eq!(markets_refused(&none), "market.unknown");
    let code = format!("{others}Brazil,BR,+55,Brazil,,\n");
    assert_eq!(markets_refused(&code), "market.calling_code");
}

#[test]
fn eras_follow_each_other_and_allowances_have_a_scope() {
    let header = "name,from,unit,in_window_utility,service,allowance,allowance_scope\n";
    for (rows, code) in [
        (
            "a,2026-10-01,message,free,free,,\nb,2026-10-01,message,free,free,,\n",
            "date.range",
        ),
        ("a,2026-10-01,minute,free,free,,\n", "choice"),
        ("a,2026-10-01,message,free,charged,-1,number\n", "allowance"),
        (
            "a,2026-10-01,message,free,charged,1.5,number\n",
            "allowance",
        ),
        ("a,2026-10-01,message,free,charged,1000,\n", "choice"),
    ] {
        let error = PriceBook::parse(BookFiles {
            eras: format!("{header}{rows}").as_bytes(),
            ..BookFiles::BUILTIN
        });
        assert_eq!(
            error.err().expect("accepted").problem.code(),
            code,
            "{rows}"
        );
    }
}
