//! The frames of SockJS: what is read of them can be written and read again.

use transport::sockjs::frame::{Messages, messages, script_string, websocket_messages};

/// All of it is what a client sends.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        // Whatever it is, it is one literal of JavaScript: nothing of it ends the script that it stands in.
        let literal = script_string(text);
        assert!(!literal.contains('\n') && !literal.to_ascii_lowercase().contains("</script"), "{literal}");
    }
    if let Ok(one) = websocket_messages(data) {
        again(&one);
    }
    if let Ok(texts) = messages(data) {
        again(&texts);
    }
}

fn again(texts: &[String]) {
    let mut frame = Messages::default();
    for text in texts {
        frame.push(text);
    }
    if texts.is_empty() {
        return;
    }
    let written = frame.take();
    let body = written.strip_prefix('a').expect("a frame of messages");
    assert_eq!(messages(body.as_bytes()).as_deref(), Ok(texts), "{written}");
}
