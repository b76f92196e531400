//! What went wrong with an image, as the kubelet and people are told (I-13).
//!
//! A message that starts with `RegistryUnavailable` has a meaning to the kubelet, which sees it at the start only with
//! code `Unknown`: [`Class::Internal`].

use crate::error::{Class, Failure};
use crate::image::{ImportError, PullError, RegistryError};

/// The failure of a pull.
pub fn pull_failure(error: &PullError) -> Failure {
    let class = match (error, error.registry()) {
        _ if error.is_out_of_space() => Class::ResourceExhausted,
        (PullError::Reference(_), _) => Class::InvalidArgument,
        (_, Some(RegistryError::Credentials(_))) => Class::InvalidArgument,
        (_, Some(RegistryError::NotFound { .. })) | (PullError::Platform { .. }, _) => Class::NotFound,
        _ => Class::Internal,
    };
    Failure::new(class, error.message())
}

/// The failure of an import.
pub fn import_failure(error: &ImportError) -> Failure {
    let class = match error {
        ImportError::Store(_) | ImportError::Layer(_) | ImportError::Interrupted => Class::Internal,
        _ => Class::InvalidArgument,
    };
    // A full disk is told apart whatever step met it.
    Failure::because(class, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(error: RegistryError) -> Failure {
        pull_failure(&PullError::Registry(error))
    }

    #[test]
    fn a_registry_that_is_down_is_told_in_the_kubelets_words() {
        let down = RegistryError::Unavailable {
            host: "r.example".into(),
            object: "manifest r.example/x:1".into(),
            reason: "connection refused".into(),
        };
        let failure = registry(down);
        assert_eq!(failure.class, Class::Internal);
        assert!(failure.message.starts_with("RegistryUnavailable: "), "{}", failure.message);
    }

    #[test]
    fn classes_follow_the_cause() {
        let (host, object) = ("r.example".to_owned(), "manifest r.example/x:1".to_owned());
        let missing = registry(RegistryError::NotFound { host: host.clone(), object: object.clone() });
        assert_eq!(missing.class, Class::NotFound);
        assert!(missing.message.contains("r.example/x:1") && missing.message.contains("404"));
        let denied = registry(RegistryError::Denied { host, object, status: 401 });
        assert_eq!(denied.class, Class::Internal);
        assert!(denied.message.contains("401"));
        let space = PullError::Space { reference: "x".into(), needed: 2, free: 1 };
        assert_eq!(pull_failure(&space).class, Class::ResourceExhausted);
        let reference = "UPPER".parse::<crate::image::Reference>().unwrap_err();
        assert_eq!(pull_failure(&PullError::Reference(reference)).class, Class::InvalidArgument);
    }
}
