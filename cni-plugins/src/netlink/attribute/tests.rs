use proptest::prelude::*;

use super::{Attributes, find, iterate};

#[test]
fn what_is_written_is_read_back_with_its_padding_gone() {
    let inner = Attributes::new().byte(1, 7).text(2, "abc");
    let bytes = Attributes::new().number(5, 0x0102_0304).nested(6, inner).behind(b"head");
    let list = &bytes[4..];
    assert_eq!(find(list, 5), Some(&[1, 2, 3, 4][..]));
    let nested = find(list, 6).expect("nested");
    assert_eq!(find(nested, 1), Some(&[7][..]));
    assert_eq!(find(nested, 2), Some(&b"abc\0"[..]));
    assert_eq!(find(nested, 3), None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_loop(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(iterate(&bytes).count() <= 50);
    }
}
