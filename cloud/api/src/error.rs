//! The one table of public error codes: code, class, HTTP status, anchor in the documentation.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who has to act so that a failed request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The request cannot succeed as it was sent; change it.
    Request,
    /// The caller is unknown or may not do this.
    Access,
    /// The request was fine, but the thing it names is not in a state that allows it.
    State,
    /// A part that the server needs is away; the same request may succeed later.
    Unavailable,
    /// The server broke; its log has the details.
    Internal,
}

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident => $code:literal, $class:ident, $status:literal, $title:literal;)+) => {
        /// A stable public error code. A code never changes its meaning; new ones may be added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code as it stands in a problem document.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Who has to act.
            #[must_use]
            pub const fn class(self) -> ErrorClass {
                match self { $(Self::$variant => ErrorClass::$class,)+ }
            }

            /// The HTTP status of the answer.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// The same short sentence for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

error_codes! {
    /// The body is not JSON, or not the JSON that this call takes.
    MalformedBody => "malformed_body", Request, 400, "The request's body could not be read";
    /// A query parameter, path parameter or header has the wrong form.
    MalformedParameter => "malformed_parameter", Request, 400, "A parameter could not be read";
    /// A field has a value that no state of the system would accept.
    InvalidValue => "invalid_value", Request, 422, "A value is not allowed";
    /// The model's description or a graph is not one that Espalier can serve.
    InvalidModel => "invalid_model", Request, 422, "The model was refused";
    /// The recipe does not parse or contradicts itself.
    InvalidRecipe => "invalid_recipe", Request, 422, "The recipe was refused";
    /// The selector does not parse.
    InvalidSelector => "invalid_selector", Request, 422, "The selector was refused";
    /// Signed metadata does not verify against the root.
    InvalidSignature => "invalid_signature", Request, 422, "The signature was refused";
    /// The root does not follow the current one as every device demands.
    InvalidRoot => "invalid_root", Request, 422, "The root was refused";
    /// The bytes received do not have the digest that was announced.
    DigestMismatch => "digest_mismatch", Request, 422, "The bytes do not have the announced digest";
    /// The body is larger than this call takes.
    TooLarge => "too_large", Request, 413, "The request is too large";
    /// The body's type is not one that this call takes.
    UnsupportedMedia => "unsupported_media", Request, 415, "The body's type is not supported";
    /// A byte range lies outside the content.
    RangeNotSatisfiable => "range_not_satisfiable", Request, 416, "The range lies outside the content";
    /// The address to import from is refused or does not answer with a model.
    ImportFailed => "import_failed", Request, 422, "The import failed";
    /// No token, or one that is not known.
    Unauthenticated => "unauthenticated", Access, 401, "A valid token is needed";
    /// The claim is unknown, used up, expired or made for another device.
    ClaimRefused => "claim_refused", Access, 403, "The claim was refused";
    /// The device's certificate is unknown, or the device was revoked or is in quarantine.
    CertificateRefused => "certificate_refused", Access, 403, "The certificate was refused";
    /// There is no such thing, or none that the caller may see.
    NotFound => "not_found", Request, 404, "There is no such thing";
    /// A thing with this name exists and is different.
    AlreadyExists => "already_exists", State, 409, "Something else has this name";
    /// The thing's state does not allow this action; the view's allowed actions say which it does.
    ActionNotAllowed => "action_not_allowed", State, 409, "The state does not allow this";
    /// Somebody else changed the thing at the same time; read it again.
    Conflict => "conflict", State, 409, "Somebody else changed this meanwhile";
    /// A build that did not pass its gate cannot be released.
    GateNotPassed => "gate_not_passed", State, 409, "The build did not pass its gate";
    /// The server does not hold a key that it would have to sign with.
    KeyMissing => "key_missing", State, 409, "The server lacks a key";
    /// The current targets would not hold: they have to be signed anew, and published together with this.
    TargetsNeeded => "targets_needed", State, 409, "The targets must be signed anew";
    /// The database does not answer.
    DatabaseUnavailable => "database_unavailable", Unavailable, 503, "The database is not reachable";
    /// The broker does not answer.
    BrokerUnavailable => "broker_unavailable", Unavailable, 503, "The broker is not reachable";
    /// No room is left for blobs.
    StorageFull => "storage_full", Unavailable, 507, "The storage is full";
    /// The host that serves full models does not answer.
    HostUnavailable => "host_unavailable", Unavailable, 502, "The model host is not reachable";
    /// The server is draining.
    ShuttingDown => "shutting_down", Unavailable, 503, "The server is shutting down";
    /// The server broke.
    Internal => "internal", Internal, 500, "The server failed";
}

impl ErrorCode {
    /// Where the documentation explains the code: the `type` of a problem document.
    #[must_use]
    pub fn doc_anchor(self) -> String {
        format!("/docs/errors#{}", self.as_str())
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn text_and_wire_name_of_every_code_agree() {
        for code in ErrorCode::ALL {
            let wire = serde_json::to_value(code).unwrap();
            assert_eq!(wire, code.as_str());
        }
    }

    #[test]
    fn every_code_has_an_error_status() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{code}");
        }
    }
}
