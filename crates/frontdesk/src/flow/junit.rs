//! Results as JUnit XML, which CI systems read.

use std::fmt::Write as _;

use core_flow::graph::escaped;

use super::test::Tested;

/// One test suite for each file of scenarios.
pub(super) fn report(all: &[Tested]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for tested in all {
        // Writing into a text does not fail.
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">",
            escaped(&tested.file),
            tested.cases.len(),
            tested.failed()
        );
        for case in &tested.cases {
            let _ = write!(
                text,
                "    <testcase classname=\"{}\" name=\"{}\"",
                escaped(&tested.definition.name),
                escaped(&case.title)
            );
            let _ = match &case.problem {
                None => writeln!(text, "/>"),
                Some(problem) => {
                    let first = problem.lines().next().unwrap_or_default();
                    writeln!(
                        text,
                        ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                        escaped(first),
                        escaped(problem)
                    )
                }
            };
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}
