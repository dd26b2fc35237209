//! Forbids formats that only we can read: other people's programs must agree with ours.
