//! Row: a case as its file lists it.

use ::mqtt::version::Version;

use crate::conform::case::{Case, Outcome, Short, Target};

/// A case as its file lists it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    name: &'static str,
    /// The statements of 5.0 that it shows, without `MQTT-`, between spaces; empty: it says nothing of that version.
    v5: &'static str,
    /// Those of 3.1.1.
    v311: &'static str,
    run: fn(&Target, Version) -> Outcome,
}

/// Lists a case.
pub(crate) const fn row(
    name: &'static str,
    v5: &'static str,
    v311: &'static str,
    run: fn(&Target, Version) -> Outcome,
) -> Row {
    Row { name, v5, v311, run }
}

impl Row {
    /// The case, if it says something of this version.
    pub(crate) fn case(self, version: Version) -> Option<Case> {
        // 3.1 has no ids of its own: where its rule is that of 3.1.1, that is the id.
        let ids = if version.has_properties() { self.v5 } else { self.v311 };
        let statements: Vec<String> = ids.split_whitespace().map(|id| format!("MQTT-{id}")).collect();
        let run = Box::new(move |target: &Target| (self.run)(target, version));
        (!statements.is_empty()).then_some(Case { name: self.name, statements, run })
    }
}

/// A failure is about these statements alone; they may be of either version.
pub(crate) fn only<T>(statements: &'static str, result: Result<T, Short>) -> Result<T, Short> {
    result.map_err(|short| match short {
        Short::Failed(why) => Short::FailedOf(statements, why),
        Short::FailedOf(..) | Short::NotApplicable(_) => short,
    })
}

/// Says which of several it was.
pub(crate) fn about(what: &str, short: Short) -> Short {
    match short {
        Short::Failed(why) => Short::Failed(format!("{what}: {why}")),
        Short::FailedOf(statements, why) => Short::FailedOf(statements, format!("{what}: {why}")),
        Short::NotApplicable(why) => Short::NotApplicable(format!("{what}: {why}")),
    }
}
