//! Results as one HTML page with the flows drawn by what was taken.

use std::fmt::Write as _;

use core_flow::graph::{self, escaped};

use super::test::Tested;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;margin:2rem auto;max-width:70rem;padding:0 1rem}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2.5rem}\
table{border-collapse:collapse;width:100%}td{padding:.25rem .6rem;border-bottom:1px solid #e4e7eb;\
vertical-align:top}.ok{color:#2f8f6b}.fail{color:#c53030;font-weight:600}\
pre{white-space:pre-wrap;background:#f5f7fa;padding:.6rem;margin:.3rem 0}\
figure{overflow:auto;margin:1rem 0;border:1px solid #e4e7eb}";

/// One section for each file of scenarios.
pub(super) fn report(all: &[Tested]) -> String {
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Flow tests</title>\
         <style>{STYLE}</style></head>\n<body><h1>Flow tests</h1>\n"
    );
    for tested in all {
        section(tested, &mut text);
    }
    text.push_str("</body></html>\n");
    text
}

fn section(tested: &Tested, text: &mut String) {
    // Writing into a text does not fail.
    let _ = writeln!(
        text,
        "<h2>{}</h2>\n<p>{}: {} scenarios, {} failed; {}</p>\n<table>",
        escaped(&tested.definition.name),
        escaped(&tested.file),
        tested.cases.len(),
        tested.failed(),
        tested.share.line()
    );
    for case in &tested.cases {
        let title = escaped(&case.title);
        let _ = match &case.problem {
            None => writeln!(text, "<tr><td class=\"ok\">ok</td><td>{title}</td></tr>"),
            Some(problem) => writeln!(
                text,
                "<tr><td class=\"fail\">failed</td><td>{title}<pre>{}</pre></td></tr>",
                escaped(problem)
            ),
        };
    }
    text.push_str("</table>\n");
    if !tested.share.is_full() {
        let missed = tested.share.missed.iter().map(|exit| escaped(exit));
        let missed: Vec<String> = missed.collect();
        let _ = writeln!(text, "<p>Not taken: {}</p>", missed.join(", "));
    }
    let drawing = graph::svg(&tested.definition, Some(&tested.taken));
    let _ = writeln!(text, "<figure>{drawing}</figure>");
}
