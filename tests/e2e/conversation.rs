//! A newcomer's first conversation, with the three programs the README names: the installation, a
//! phone and a desk, each a process of its own. The terminal programs are driven through pipes.

use tests::process::{Addresses, Frontdesk};

use crate::terminal::Terminal;

#[test]
fn a_customer_and_an_agent_talk_from_two_terminals() {
    let folder = tempfile::tempdir().unwrap();
    let process = Frontdesk::start(folder.path(), &Addresses::free(), &[]);
    let server = format!("http://{}", process.at.grpc);
    let mut agent = Terminal::open(&server, None, &["agent", "--as", "ana"]);
    agent.shows("desk open");
    agent.types("/ready");
    agent.shows("presence: Ready");

    let mut phone = Terminal::open(&server, None, &["chat", "--name", "Maria"]);
    phone.types("Hi 👋");
    phone.shows("< Hey there!👋");
    phone.shows("< • For Sales🧾");
    phone.types("1️⃣");

    agent.shows("offer: Maria in Sales: ");
    agent.types("/accept");
    agent.shows("assigned: Maria");
    agent.types("Hello Maria, this is Ana.");
    phone.shows("< Hello Maria, this is Ana.");
    phone.types("Do you have tulips?");
    agent.shows("< Do you have tulips?");
    agent.types("/template conversation_follow_up Maria | FD-7");
    phone.shows("there is news about your request FD-7");
    agent.types("/done solved -- wants tulips");
    agent.shows("released");
    assert!(process.stop().success());
}
