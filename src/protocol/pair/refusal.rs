//! Why a message of the pair's was refused. One reason a message, one counter a reason, in the order of the checks.

use crate::types::reason::refusals;

refusals! {
    /// Why a message was refused. The value is the counter's index, [`Refusal::name`] the metric's label.
    pub enum Refusal, counted by Refusals {
        Stranger = "stranger", "not from an address of the peer, or not sent on this link (TTL below 255)";
        Malformed = "malformed", "no envelope: too short, another magic, or a reserved field that is not zero";
        WrongVersion = "wrong_version", "another version of the envelope: run the same release on both nodes";
        WrongKey = "wrong_key", "no tag, a tag of another key, or a tag where no key is set: give both nodes the same key_file";
        UnknownKind = "unknown_kind", "a kind of message this release does not know";
        OwnMessage = "own_message", "it carries this node's own id: give the nodes of a pair different names";
        Replayed = "replayed", "received before, or of an incarnation that the peer has left behind";
        Unacquainted = "unacquainted", "made before its sender knew of this node's start";
        OtherConfiguration = "other_configuration", "sessions cannot be shared: workers, steering, instances or addresses differ";
        MalformedBody = "malformed_body", "its body is not what its kind says";
    }
}
