//! One message and its descriptors, as `sendmsg` and `recvmsg` want them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::call::retry_size;

/// Most descriptors one message can carry (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

/// Room for one `SCM_RIGHTS` message of [`MAX_DESCRIPTORS`], in words so that it is aligned for a `cmsghdr`.
const CONTROL_WORDS: usize =
    (size_of::<libc::cmsghdr>() + MAX_DESCRIPTORS * size_of::<RawFd>()).div_ceil(8) + 1;

/// A received message.
#[derive(Debug)]
pub struct Received {
    /// Its length in the caller's buffer, bytes.
    pub length: usize,
    /// Descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
}

pub(super) fn send(socket: BorrowedFd<'_>, content: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if content.is_empty() || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "empty message or too many descriptors"));
    }
    let mut control = [0_u64; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: content.as_ptr().cast_mut().cast(), iov_len: content.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    if !descriptors.is_empty() {
        let size = (descriptors.len() * size_of::<RawFd>()) as u32;
        header.msg_control = control.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as _;
        // SAFETY: `control` is aligned and larger than CMSG_SPACE of MAX_DESCRIPTORS, so the first header and its
        // data lie inside; write_unaligned because the data need not be aligned for RawFd.
        unsafe {
            let first = libc::CMSG_FIRSTHDR(&header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(size) as _;
            let data = libc::CMSG_DATA(first).cast::<RawFd>();
            for (index, descriptor) in descriptors.iter().enumerate() {
                data.add(index).write_unaligned(descriptor.as_raw_fd());
            }
        }
    }
    // SAFETY: `header` points to `part`, `content` and `control`, which all outlive the call.
    retry_size(|| unsafe { libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_NOSIGNAL) }).map(|_| ())
}

pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<Received>> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: `header` points to `part`, `buffer` and `control`, which all outlive the call.
    let length =
        retry_size(|| unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC) })?;
    let descriptors = take_descriptors(&header);
    if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "message or its descriptors were cut"));
    }
    // Senders never send an empty message: this is the end.
    Ok((length > 0).then_some(Received { length, descriptors }))
}

/// Owns every descriptor that arrived, also those of a message that is about to be refused.
fn take_descriptors(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel filled `header` and its control buffer, which CMSG_FIRSTHDR and CMSG_NXTHDR stay inside;
    // each number in an SCM_RIGHTS message is a new descriptor of this process that nobody else owns.
    unsafe {
        let mut current = libc::CMSG_FIRSTHDR(header);
        while !current.is_null() {
            if (*current).cmsg_level == libc::SOL_SOCKET && (*current).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*current).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(current).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    descriptors.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            current = libc::CMSG_NXTHDR(header, current);
        }
    }
    descriptors
}
