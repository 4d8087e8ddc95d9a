//! Standard input: read as fast as the log takes it.

use super::lines::{END, Lines, Receipt};
use riser_model::door::{Code, Door, Input, Output, Refusal};
use riser_net::{Call, Seat};
use riser_shell::Clock;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What one read takes at most.
const READ_BYTES_MAX: usize = 64 * 1024;

enum Turn {
    Called(Call),
    Read(std::io::Result<usize>),
}

/// Reads to the end, or until the process stops. What the receipt calls stored is on disk.
pub(crate) async fn read(mut input: impl AsyncRead + Unpin, mut seat: Seat, mut lines: Lines) -> Receipt {
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        while let Some(output) = lines.poll() {
            match output {
                Output::Ask(ask) => seat.ask(ask),
                Output::Done | Output::Close(_) => return lines.receipt().clone(),
                // It says nothing.
                Output::Bytes(_) | Output::Text(_) | Output::Texts(_) => {}
            }
        }
        let may_read = lines.may_read() && !seat.is_waiting();
        let turn = tokio::select! {
            biased;
            call = seat.call() => Turn::Called(call),
            read = input.read(&mut buffer), if may_read => Turn::Read(read),
        };
        let now = Clock.now();
        match turn {
            Turn::Called(Call::Tell(tell)) => lines.handle(Input::Tell(tell), now),
            Turn::Called(Call::Stop) => lines.stop(stopped()),
            Turn::Called(Call::Again) => {}
            Turn::Read(Ok(0)) => lines.handle(Input::Gone(END), now),
            Turn::Read(Ok(count)) => {
                let bytes = buffer.get(..count).unwrap_or_default().to_vec().into();
                lines.handle(Input::Bytes(bytes), now);
            }
            Turn::Read(Err(error)) => {
                tracing::error!(%error, "standard input cannot be read");
                lines.handle(Input::Gone("it cannot be read"), now);
            }
        }
    }
}

fn stopped() -> Refusal {
    Refusal {
        code: Code::ShuttingDown,
        what: "the program was told to stop before its input ended".to_owned(),
        want: "to give the lines after the last one that was read again".to_owned(),
    }
}
