//! A call that failed, as code catches it.

use super::Failure;
use super::code::Thrown;
use super::outbound::OutboundError;
use super::rest::response::AnswerError;

impl Failure {
    /// What code catches; `told` is what a caller would be told.
    #[must_use]
    pub fn thrown(self, told: String) -> Thrown {
        match self {
            Self::Credential(_) => Thrown::new("credential", told),
            Self::Argument(_) | Self::Program(_) | Self::Answer(AnswerError::Program(_)) => {
                Thrown::new("invalid_arguments", told)
            }
            Self::Outbound(OutboundError::Timeout(_)) => Thrown::new("timeout", told),
            Self::Outbound(_) => Thrown::new("unavailable", told),
            Self::Answer(AnswerError::Status { status, message, kind, code, .. }) => Thrown {
                http_status: Some(status.as_u16()),
                api_message: Some(message).filter(|message| !message.is_empty()),
                provider_code: code,
                ..Thrown::new(kind, told)
            },
            Self::Answer(AnswerError::Refused { message, code }) => Thrown {
                api_message: Some(message).filter(|message| !message.is_empty()),
                provider_code: code,
                ..Thrown::new("api_error", told)
            },
            Self::Answer(_) => Thrown::new("unusable_answer", told),
        }
    }
}
