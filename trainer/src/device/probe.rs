//! Asks the CUDA driver which GPUs there are, without linking against it.
//!
//! Holds: only `cuInit` and queries are called; nothing is allocated and no context is made.
#![allow(unsafe_code)] // dlopen has no safe form

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

/// Names of the GPUs that the process sees, by ordinal; `Err` says why the driver can't be asked.
pub(super) fn cuda_devices() -> Result<Vec<String>, String> {
    let driver = Driver::open(c"libcuda.so.1")?;
    driver.devices()
}

type Init = unsafe extern "C" fn(flags: c_uint) -> c_int;
type DeviceGetCount = unsafe extern "C" fn(count: *mut c_int) -> c_int;
type DeviceGetName = unsafe extern "C" fn(name: *mut c_char, length: c_int, device: c_int) -> c_int;

struct Driver {
    init: Init,
    device_get_count: DeviceGetCount,
    device_get_name: DeviceGetName,
}

impl Driver {
    fn open(library: &CStr) -> Result<Self, String> {
        // SAFETY: the name is a C string; loading the driver runs its constructors, which is what any CUDA program does.
        let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(format!("the NVIDIA driver ({}) is not installed here", library.to_string_lossy()));
        }
        let (init, count, name) =
            (symbol(handle, c"cuInit")?, symbol(handle, c"cuDeviceGetCount")?, symbol(handle, c"cuDeviceGetName")?);
        // SAFETY: the symbols were found in the driver (not null), and their types are those of cuda.h since CUDA 2.0.
        // The handle is never closed, so the functions stay valid.
        unsafe {
            Ok(Self {
                init: std::mem::transmute::<*mut c_void, Init>(init),
                device_get_count: std::mem::transmute::<*mut c_void, DeviceGetCount>(count),
                device_get_name: std::mem::transmute::<*mut c_void, DeviceGetName>(name),
            })
        }
    }

    fn devices(&self) -> Result<Vec<String>, String> {
        const NO_DEVICE: c_int = 100; // CUDA_ERROR_NO_DEVICE
        // SAFETY: 0 is the only value flags may have.
        match unsafe { (self.init)(0) } {
            0 => {}
            NO_DEVICE => return Ok(Vec::new()),
            code => return Err(format!("the NVIDIA driver does not start (cuInit returned {code})")),
        }
        let mut count = 0;
        // SAFETY: `count` is a valid place for an int.
        match unsafe { (self.device_get_count)(&raw mut count) } {
            0 => Ok((0..count).map(|device| self.name(device)).collect()),
            code => Err(format!("the NVIDIA driver lists no devices (cuDeviceGetCount returned {code})")),
        }
    }

    /// A device's handle is its ordinal (cuDeviceGet in cuda.h).
    fn name(&self, device: c_int) -> String {
        let mut name: [c_char; 128] = [0; 128];
        // SAFETY: the driver writes at most the given length, its terminating zero included.
        let code = unsafe { (self.device_get_name)(name.as_mut_ptr(), name.len() as c_int, device) };
        let bytes: Vec<u8> = name.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
        if code == 0 { String::from_utf8_lossy(&bytes).into_owned() } else { "unknown".to_owned() }
    }
}

fn symbol(handle: *mut c_void, name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: `handle` came from dlopen and was not closed; `name` is a C string.
    let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
    if found.is_null() { Err(format!("the NVIDIA driver has no {}", name.to_string_lossy())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_a_sentence() {
        let error = Driver::open(c"libno-such-driver.so.1").err();
        assert_eq!(error.as_deref(), Some("the NVIDIA driver (libno-such-driver.so.1) is not installed here"));
    }

    #[test]
    fn a_library_that_is_no_driver_is_a_sentence() {
        assert_eq!(Driver::open(c"libc.so.6").err().as_deref(), Some("the NVIDIA driver has no cuInit"));
    }
}
