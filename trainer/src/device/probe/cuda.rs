//! Asks the CUDA driver which GPUs there are.
//!
//! Holds: only `cuInit` and queries are called; nothing is allocated and no context is made.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use super::Library;

/// Names of the GPUs that the process sees, by ordinal; `Err` says why the driver can't be asked.
pub(crate) fn devices() -> Result<Vec<String>, String> {
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
        let library = Library::open(library, "the NVIDIA driver")?;
        let (init, count, name) =
            (library.symbol(c"cuInit")?, library.symbol(c"cuDeviceGetCount")?, library.symbol(c"cuDeviceGetName")?);
        // SAFETY: the symbols were found in the driver (not null), and their types are those of cuda.h since CUDA 2.0.
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
