use proptest::prelude::*;

use super::Owner;

#[test]
fn an_owner_survives_the_kernel_and_fits_into_an_element() {
    let id = "f".repeat(64);
    let pod = format!("{}/{}", "n".repeat(63), "p".repeat(253));
    let owner = Owner::new(&"net".repeat(100), &id, "eth0", Some(&pod));
    let bytes = owner.encode();
    assert!(bytes.len() <= 256, "{}", bytes.len());
    let read = Owner::decode(&bytes).expect("decoded");
    assert!(read.same_attachment(&owner) && read.same_network(&owner));
    assert!(pod.starts_with(&read.comment), "the comment is cut, not garbled");
}

#[test]
fn another_interface_of_the_same_container_is_another_attachment() {
    let one = Owner::new("a", "id", "eth0", None);
    assert!(!one.same_attachment(&Owner::new("a", "id", "eth1", None)));
    assert!(!one.same_attachment(&Owner::new("a", "ideth0", "", None)));
    assert!(one.same_attachment(&Owner::new("b", "id", "eth0", None)), "a renamed network");
    assert!(!one.same_network(&Owner::new("b", "id", "eth0", None)));
}

proptest! {
    #[test]
    fn foreign_user_data_is_no_owner_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Owner::decode(&bytes);
    }

    #[test]
    fn any_text_is_cut_at_a_character(text in ".{0,200}") {
        let owner = Owner::new("n", "id", "eth0", Some(&text));
        let read = Owner::decode(&owner.encode()).expect("decoded");
        prop_assert!(owner.comment.starts_with(&read.comment));
    }
}
