//! WebSocket close codes, in two bands: 4000-4099 come back, 4100-4199 do not before something changed. Who
//! breaks the rules of WebSocket itself is told so with the standard's own codes.

use riser_model::door::Code;

/// The close code for a refusal. In the first band the reason may carry `after_ms=N`.
pub fn close_code(code: Code) -> u16 {
    match code {
        Code::ShuttingDown => 4000,
        Code::Timeout => 4001,
        Code::TooSlow => 4002,
        Code::LogFailing => 4003,
        Code::QuotaExceeded => 4004,
        Code::TooMany => 4005,
        // Said of publications only, never of a connection.
        Code::SessionFull => 4006,
        Code::Malformed => 4100,
        Code::WrongState => 4101,
        Code::BadName => 4102,
        Code::NotAuthorised => 4103,
        Code::Denied => 4104,
        Code::TooLarge => 4105,
        Code::UnknownPosition => 4106,
        Code::TakenOver => 4107,
        // Said of publications only, never of a connection.
        Code::Dup => 4108,
    }
}

/// Whether a client that was closed with this code should come back by itself. Of the standard's codes (RFC 6455
/// section 7.4.1) those for who breaks its rules (1002, 1007), for what is not taken (1003, 1009) and for policy (1008)
/// would only come again; the others count as cuts.
pub fn comes_back(close_code: u16) -> bool {
    !matches!(close_code, 1002 | 1003 | 1007..=1009 | 4100..4200)
}

/// When a client closed for this reason should come back, beside its own jitter; none in the second band.
pub fn after_ms(code: Code) -> Option<u32> {
    match code {
        Code::ShuttingDown => Some(500),
        Code::Timeout | Code::TooSlow => Some(1000),
        Code::LogFailing | Code::QuotaExceeded | Code::SessionFull | Code::TooMany => Some(5000),
        Code::Malformed
        | Code::WrongState
        | Code::BadName
        | Code::NotAuthorised
        | Code::Denied
        | Code::TooLarge
        | Code::UnknownPosition
        | Code::TakenOver
        | Code::Dup => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_a_band_of_its_own() {
        let mut codes: Vec<u16> = Code::ALL.into_iter().map(close_code).collect();
        assert!(codes.iter().all(|c| (4000..4200).contains(c)));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
        assert!(Code::ALL.into_iter().all(|c| after_ms(c).is_some() == comes_back(close_code(c))));
        assert!([1000, 1001, 1006, 1011, 4000].into_iter().all(comes_back));
        assert!(![1002, 1007, 1008, 1009, 4103].into_iter().any(comes_back));
    }
}
