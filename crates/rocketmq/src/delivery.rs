//! What a receive brings.

use crate::Error;
use crate::access::Address;
use crate::error::of_status;
use crate::message::Received;
use crate::wire::{self, code, received::Content};
use std::collections::HashSet;
use std::sync::Arc;

/// A message that was received, until its time is over.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The message.
    pub message: Received,
    /// How often it was delivered, this time included. Not reliable in ordered topics.
    pub attempt: u32,
    pub(crate) handle: String,
    pub(crate) addresses: Arc<[Address]>,
}

/// What a receive brought. Messages that came are ours, whatever else was said: they will not come again before their time.
pub fn read(parts: Vec<wire::ReceiveMessageResponse>, addresses: &[Address]) -> Result<Vec<Delivery>, Error> {
    let (mut deliveries, mut status, mut held_up) = (Vec::new(), None, HashSet::new());
    let addresses: Arc<[Address]> = addresses.into();
    for part in parts {
        match part.content {
            Some(Content::Message(message)) => deliveries.extend(delivery(message, &addresses, &mut held_up)),
            Some(Content::Status(of_all)) => status = Some(of_all),
            Some(Content::DeliveryTimestamp(_)) | None => {}
        }
    }
    match status {
        Some(status) if deliveries.is_empty() && status.code != code::MESSAGE_NOT_FOUND => of_status(Some(&status)).map(|()| deliveries),
        None if deliveries.is_empty() => Err(Error::unknown("an answer without a status")),
        _ => Ok(deliveries),
    }
}

/// A message that cannot be read is told and left: it comes again, and goes to the dead letters in the end. What comes after it in
/// its message group is left too, or it would overtake.
fn delivery(message: wire::Message, addresses: &Arc<[Address]>, held_up: &mut HashSet<String>) -> Option<Delivery> {
    let properties = message.system_properties.as_ref();
    let handle = properties.and_then(|properties| properties.receipt_handle.clone()).unwrap_or_default();
    let attempt = properties.and_then(|properties| properties.delivery_attempt).unwrap_or(1);
    let message_id = properties.map(|properties| properties.message_id.clone()).unwrap_or_default();
    let group = properties.and_then(|properties| properties.message_group.clone());
    if group.as_ref().is_some_and(|group| held_up.contains(group)) {
        return None;
    }
    match Received::of_wire(message) {
        Ok(message) => Some(Delivery { message, attempt: u32::try_from(attempt).unwrap_or(1), handle, addresses: addresses.clone() }),
        Err(what) => {
            tracing::error!(message_id, what, "a message cannot be read; it is left to come again");
            held_up.extend(group);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Digest, ReceiveMessageResponse, Status, SystemProperties, digest};

    fn message(id: &str, group: Option<&str>, is_whole: bool) -> ReceiveMessageResponse {
        let checksum = if is_whole { format!("{:X}", crc32fast::hash(b"body")) } else { "1".to_owned() };
        let properties = SystemProperties {
            message_id: id.to_owned(),
            message_group: group.map(ToOwned::to_owned),
            body_digest: Some(Digest { r#type: digest::CRC32, checksum }),
            ..SystemProperties::default()
        };
        let message = wire::Message { body: "body".into(), system_properties: Some(properties), ..wire::Message::default() };
        ReceiveMessageResponse { content: Some(Content::Message(message)) }
    }

    fn status(code: i32) -> ReceiveMessageResponse {
        ReceiveMessageResponse { content: Some(Content::Status(Status { code, message: String::new() })) }
    }

    fn ids(parts: Vec<ReceiveMessageResponse>) -> Result<Vec<String>, Error> {
        read(parts, &[]).map(|deliveries| deliveries.into_iter().map(|delivery| delivery.message.message_id).collect())
    }

    #[test]
    fn what_cannot_be_read_holds_up_its_own_message_group_and_nobody_else() {
        let parts = vec![
            status(code::OK),
            message("1", Some("a"), true),
            message("2", Some("a"), false),
            message("3", Some("b"), true),
            message("4", Some("a"), true),
            message("5", None, false),
            message("6", None, true),
        ];
        assert_eq!(ids(parts), Ok(["1", "3", "6"].map(ToOwned::to_owned).to_vec()));
    }

    #[test]
    fn nothing_is_nothing_only_if_the_server_says_so() {
        assert_eq!(ids(vec![status(code::MESSAGE_NOT_FOUND)]), Ok(Vec::new()));
        assert!(matches!(ids(vec![]), Err(Error::Unknown { code: None, .. })));
        assert!(matches!(ids(vec![status(code::TOPIC_NOT_FOUND)]), Err(Error::Refused { .. })));
        assert_eq!(ids(vec![message("1", None, true), status(code::TOPIC_NOT_FOUND)]).map(|ids| ids.len()), Ok(1), "what came is ours");
    }
}
