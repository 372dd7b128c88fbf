//! Every number a definition or a session is held to. WhatsApp's own limits are those of
//! `core-whatsapp`; they stand here again because a flow is checked before it is published, not
//! when a customer waits for the message.

/// Longest definition read, in bytes.
pub const MAX_DEFINITION_BYTES: usize = 1 << 20;
/// Most widgets in a flow.
pub const MAX_WIDGETS: usize = 2_000;
/// Most widgets passed between an input and the next wait.
pub const MAX_STEPS_PER_SPRINT: u32 = 1_000;
/// Most messages sent between an input and the next wait.
pub const MAX_SENDS_PER_SPRINT: u32 = 64;
/// Longest session, in bytes.
pub const MAX_SESSION_BYTES: usize = 256 << 10;

/// Most variables of a flow's own.
pub(crate) const MAX_VARIABLES: usize = 200;
/// Most variables one widget sets.
pub(crate) const MAX_ASSIGNMENTS: usize = 64;
/// Most variables and expressions of a flow, those of every language counted.
pub(crate) const MAX_EXPRESSIONS: usize = 20_000;
/// Longest expression, in characters.
pub(crate) const MAX_EXPRESSION: usize = 1_000;
/// Most words and signs of an expression. Reading and running it goes as deep as they nest, and a
/// thread's stack has two megabytes.
pub(crate) const MAX_EXPRESSION_TOKENS: usize = 200;
/// Most brackets within each other in an expression: each takes 16 kB of stack in a debug build.
pub(crate) const MAX_BRACKETS: usize = 20;
/// Longest JSON value of a variable, in bytes.
pub(crate) const MAX_JSON: usize = 16 << 10;

/// Most expressions evaluated between an input and the next wait. Each has its own fuel besides.
pub const MAX_EVALUATIONS: u32 = 2_000;

/// Most scripts and calls in a row, without a word of the customer and without a wait.
pub(crate) const MAX_IN_A_ROW: u32 = 100;
/// Most scripts of a flow.
pub(crate) const MAX_SCRIPTS: usize = 200;
/// Longest script, in bytes.
pub(crate) const MAX_SCRIPT: usize = 64 << 10;
/// Most questions one script asks.
pub(crate) const MAX_SCRIPT_CALLS: usize = 10;
/// Longest answer a script is given, in bytes.
pub(crate) const MAX_SCRIPT_ANSWER: usize = 64 << 10;
/// Longest time a call may take, in seconds.
pub(crate) const MAX_CALL: u32 = 30;
/// Most times a call is tried again.
pub(crate) const MAX_CALL_RETRIES: u8 = 3;
/// Most headers of a call.
pub(crate) const MAX_HEADERS: usize = 20;
/// Longest URL of a call, in bytes.
pub(crate) const MAX_URL: usize = 2_048;
/// Longest body of a call, in bytes.
pub(crate) const MAX_CALL_BODY: usize = 64 << 10;
/// Longest answer to a call that is read, in bytes.
pub const MAX_RESPONSE: usize = 256 << 10;

/// Most languages besides the default one.
pub(crate) const MAX_LANGUAGES: usize = 20;
/// Most exits of one widget.
pub(crate) const MAX_EXITS: usize = 64;
/// Most openings, and most closures, of business hours.
pub(crate) const MAX_HOURS: usize = 200;
/// Most comparisons of one branch.
pub(crate) const MAX_COMPARISONS: usize = 16;
/// Largest share of one way of a split.
pub(crate) const MAX_SHARE: u32 = 10_000;
/// Most branches of one condition; several may share an exit.
pub(crate) const MAX_BRANCHES: usize = 256;
/// Most choices of one question.
pub(crate) const MAX_CHOICES: usize = 256;
/// Most parts of one Send Media widget.
pub(crate) const MAX_PARTS: usize = 10;
/// WhatsApp: address cards of one message.
pub(crate) const CARDS: usize = 20;
/// Longest name or address of a place or a person, in characters.
pub(crate) const MAX_LINE: usize = 256;
/// Longest flow name, in characters.
pub(crate) const MAX_FLOW_NAME: usize = 100;
/// Longest widget or exit name, in bytes.
pub(crate) const MAX_NAME: usize = 64;
/// Longest wait, in seconds: seven days.
pub(crate) const MAX_TIMEOUT: u32 = 604_800;
/// Most times a question is asked again.
pub(crate) const MAX_RETRIES: u8 = 10;
/// Highest priority; the lowest is its negative.
pub(crate) const MAX_PRIORITY: i32 = 100;
/// Most digits a question may ask for.
pub(crate) const MAX_DIGITS: u32 = 40;
/// Longest answer kept, in characters: what WhatsApp lets a customer write in one message.
pub(crate) const MAX_ANSWER: usize = 4_096;

/// WhatsApp: name of a template.
pub(crate) const TEMPLATE_NAME: usize = 512;
/// WhatsApp: places of a template's body, by its longest body.
pub(crate) const MAX_TEMPLATE_PLACES: usize = 100;
/// WhatsApp: buttons of a template.
pub(crate) const MAX_TEMPLATE_BUTTONS: usize = 10;
/// WhatsApp: what fills one place of a template; the whole body has 1,024 characters.
pub(crate) const TEMPLATE_TEXT: usize = 1_024;
/// WhatsApp: body of a text message.
pub(crate) const TEXT_BODY: usize = 4_096;
/// WhatsApp: body over reply buttons.
pub(crate) const BUTTONS_BODY: usize = 1_024;
/// WhatsApp: body over a button for a place.
pub(crate) const LOCATION_BODY: usize = 1_024;
/// WhatsApp: body over a list.
pub(crate) const LIST_BODY: usize = 4_096;
/// WhatsApp: caption under media.
pub(crate) const CAPTION: usize = 1_024;
/// WhatsApp: reply buttons of one message.
pub(crate) const BUTTONS: usize = 3;
/// WhatsApp: title of a reply button.
pub(crate) const BUTTON_TITLE: usize = 20;
/// WhatsApp: id of a reply button.
pub(crate) const BUTTON_ID: usize = 256;
/// WhatsApp: rows of one list, over all sections.
pub(crate) const LIST_ROWS: usize = 10;
/// WhatsApp: title of a list row.
pub(crate) const ROW_TITLE: usize = 24;
/// WhatsApp: id of a list row.
pub(crate) const ROW_ID: usize = 200;
/// WhatsApp: description of a list row.
pub(crate) const ROW_DESCRIPTION: usize = 72;
/// WhatsApp: text of the button that opens a list.
pub(crate) const LIST_BUTTON: usize = 20;
