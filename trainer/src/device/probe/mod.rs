//! Asks drivers which devices there are, without linking against them.
//!
//! Holds: a library that is missing, or that is not what its name says, is a sentence; what was opened stays open, so
//! that functions found in it stay valid.
#![allow(unsafe_code)] // dlopen has no safe form

pub(super) mod cuda;
pub(super) mod vulkan;

use std::ffi::{CStr, c_void};

/// A shared library of a driver.
struct Library {
    handle: *mut c_void,
    /// What it is, for sentences: `the NVIDIA driver`.
    title: &'static str,
}

impl Library {
    fn open(name: &CStr, title: &'static str) -> Result<Self, String> {
        // SAFETY: the name is a C string; loading a driver runs its constructors, which is what any user of it does.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(format!("{title} ({}) is not installed here", name.to_string_lossy()));
        }
        Ok(Self { handle, title })
    }

    /// Address of a function; never null.
    fn symbol(&self, name: &CStr) -> Result<*mut c_void, String> {
        // SAFETY: the handle came from dlopen and is never closed; the name is a C string.
        let found = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        if found.is_null() { Err(format!("{} has no {}", self.title, name.to_string_lossy())) } else { Ok(found) }
    }
}
