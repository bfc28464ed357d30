//! What management asks of the control core, by two queues: no lock, and no memory is given back on this side.

use super::Control;
use crate::{
    port::Port,
    protocol::{
        bfd::{AddError, SessionId, Settings, Timers},
        election::Refused,
    },
    types::{InstanceId, Instant},
};
use crossbeam::queue::ArrayQueue;

/// Commands that wait, at most.
const ROOM: usize = 16;

/// Something to do.
#[derive(Debug)]
pub enum Command {
    /// Hand the instance over, or ask for it.
    SwitchOver(InstanceId),
    /// Take this node out of the instance's election.
    Hold(InstanceId),
    /// Let it take part again.
    Release(InstanceId),
    /// Hand everything over: the node is to end.
    ShutDown,
    /// Terms up to this one are reserved on disk.
    Reserved(u64),
    /// A BFD session with the peer.
    AddBfd(Box<Settings>),
    /// Other times for one.
    ChangeBfd(SessionId, Timers),
    /// No session there any more: the peer hears AdminDown, and then nothing.
    RemoveBfd(SessionId),
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The election says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// BFD says no.
    #[error(transparent)]
    Bfd(#[from] AddError),
    /// There is no such BFD session.
    #[error("no such BFD session")]
    NoSession,
    /// There is no peer.
    #[error("this node has no peer: add [ha] to its configuration and restart it")]
    Alone,
}

/// What came of it. A command is given back for its memory to be freed.
pub type Answer = (Command, Result<(), CommandError>);

/// The two queues. One thread at a time may ask.
#[derive(Debug)]
pub struct Mailbox {
    commands: ArrayQueue<Command>,
    answers: ArrayQueue<Answer>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { commands: ArrayQueue::new(ROOM), answers: ArrayQueue::new(ROOM) }
    }
}

impl Mailbox {
    /// Puts a command in.
    ///
    /// # Errors
    ///
    /// There is no room: the control core stands still.
    pub fn send(&self, command: Command) -> Result<(), Command> {
        self.commands.push(command)
    }

    /// The next answer; answers come in the order of the commands.
    pub fn answer(&self) -> Option<Answer> {
        self.answers.pop()
    }
}

impl<P: Port> Control<P> {
    /// Does what management asks, one thing a turn. Returns whether there was something.
    pub(super) fn obey(&mut self, now: Instant) -> bool {
        if self.mailbox.answers.is_full() {
            return false;
        }
        let Some(command) = self.mailbox.commands.pop() else { return false };
        let result = self.carry_out(&command, now);
        // There is room: this thread alone puts answers in.
        let _ = self.mailbox.answers.push((command, result));
        true
    }

    fn carry_out(&mut self, command: &Command, now: Instant) -> Result<(), CommandError> {
        match command {
            Command::AddBfd(settings) => {
                let remote = settings.path.remote;
                self.bfd.add(**settings, now)?;
                if let Some(link) = &mut self.link {
                    link.add_peer(remote);
                }
                return Ok(());
            }
            Command::ChangeBfd(id, timers) => return self.bfd.change(*id, *timers),
            Command::RemoveBfd(id) => {
                self.bfd.retire(*id, now)?;
                if let (Some(link), Some(remote)) = (&mut self.link, self.bfd.last_of_its_remote(*id)) {
                    link.remove_peer(remote);
                }
                return Ok(());
            }
            _ => {}
        }
        let elections = &mut self.ha.as_mut().ok_or(CommandError::Alone)?.elections;
        match *command {
            Command::SwitchOver(instance) => elections.switch_over(instance, now)?,
            Command::Hold(instance) => elections.hold(instance)?,
            Command::Release(instance) => elections.release(instance)?,
            Command::Reserved(term) => elections.reserved(term),
            _ => elections.shut_down(),
        }
        Ok(())
    }
}
