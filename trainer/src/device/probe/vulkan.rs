//! Asks the Vulkan loader which adapters its drivers offer.
//!
//! Holds: an instance is made, asked and destroyed; no device is created and nothing is allocated on one.

use std::{
    ffi::{CStr, c_char, c_void},
    ptr,
};

use super::Library;

/// What an adapter is, best first: the order in which `wgpu:N` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    Discrete,
    Integrated,
    /// A GPU of a virtual machine.
    Virtual,
    /// Software on the processor, such as Mesa's llvmpipe.
    Cpu,
}

/// A device that Vulkan offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    pub name: String,
    pub kind: AdapterKind,
    /// Ordinal among the adapters of its kind, as burn's wgpu backend counts them.
    pub index: usize,
}

/// The adapters that the process sees, by ordinal of `wgpu:N`; `Err` says why the loader can't be asked.
pub(crate) fn adapters() -> Result<Vec<Adapter>, String> {
    Loader::open(c"libvulkan.so.1")?.adapters()
}

/// Numbers the adapters of each kind in the loader's order and puts the better kinds first. Of those on the processor
/// burn can name the first alone.
fn ordered(found: Vec<(String, AdapterKind)>) -> Vec<Adapter> {
    let mut adapters: Vec<Adapter> = Vec::new();
    for (name, kind) in found {
        let index = adapters.iter().filter(|adapter| adapter.kind == kind).count();
        if kind != AdapterKind::Cpu || index == 0 {
            adapters.push(Adapter { name, kind, index });
        }
    }
    adapters.sort_by_key(|adapter| adapter.kind);
    adapters
}

type Handle = *mut c_void;
type CreateInstance = unsafe extern "C" fn(*const InstanceCreateInfo, *const c_void, *mut Handle) -> i32;
type DestroyInstance = unsafe extern "C" fn(Handle, *const c_void);
type EnumeratePhysicalDevices = unsafe extern "C" fn(Handle, *mut u32, *mut Handle) -> i32;
type GetPhysicalDeviceProperties = unsafe extern "C" fn(Handle, *mut Properties);

/// `VkInstanceCreateInfo`.
#[repr(C)]
struct InstanceCreateInfo {
    structure_type: u32,
    next: *const c_void,
    flags: u32,
    application: *const c_void,
    layer_count: u32,
    layers: *const *const c_char,
    extension_count: u32,
    extensions: *const *const c_char,
}

/// The beginning of `VkPhysicalDeviceProperties`, and more room than its remaining 548 bytes need.
#[repr(C)]
struct Properties {
    api_version: u32,
    driver_version: u32,
    vendor: u32,
    device: u32,
    kind: u32,
    name: [c_char; 256],
    rest: [u64; 128],
}

const SUCCESS: i32 = 0; // VK_SUCCESS
const INCOMPLETE: i32 = 5; // VK_INCOMPLETE: a device came between counting and listing
const INCOMPATIBLE_DRIVER: i32 = -9; // VK_ERROR_INCOMPATIBLE_DRIVER: the loader found no driver at all
const INSTANCE_CREATE_INFO: u32 = 1; // VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO

struct Loader {
    create_instance: CreateInstance,
    destroy_instance: DestroyInstance,
    enumerate_physical_devices: EnumeratePhysicalDevices,
    get_physical_device_properties: GetPhysicalDeviceProperties,
}

impl Loader {
    fn open(library: &CStr) -> Result<Self, String> {
        let library = Library::open(library, "the Vulkan loader")?;
        let (create, destroy, enumerate, properties) = (
            library.symbol(c"vkCreateInstance")?,
            library.symbol(c"vkDestroyInstance")?,
            library.symbol(c"vkEnumeratePhysicalDevices")?,
            library.symbol(c"vkGetPhysicalDeviceProperties")?,
        );
        // SAFETY: the symbols were found in the loader (not null), and their types are those of Vulkan 1.0.
        unsafe {
            Ok(Self {
                create_instance: std::mem::transmute::<*mut c_void, CreateInstance>(create),
                destroy_instance: std::mem::transmute::<*mut c_void, DestroyInstance>(destroy),
                enumerate_physical_devices: std::mem::transmute::<*mut c_void, EnumeratePhysicalDevices>(enumerate),
                get_physical_device_properties: std::mem::transmute::<*mut c_void, GetPhysicalDeviceProperties>(
                    properties,
                ),
            })
        }
    }

    fn adapters(&self) -> Result<Vec<Adapter>, String> {
        let request = InstanceCreateInfo {
            structure_type: INSTANCE_CREATE_INFO,
            next: ptr::null(),
            flags: 0,
            application: ptr::null(),
            layer_count: 0,
            layers: ptr::null(),
            extension_count: 0,
            extensions: ptr::null(),
        };
        let mut instance = ptr::null_mut();
        // SAFETY: the request is a whole VkInstanceCreateInfo without layers and extensions; `instance` takes a handle.
        match unsafe { (self.create_instance)(&raw const request, ptr::null(), &raw mut instance) } {
            SUCCESS => {}
            INCOMPATIBLE_DRIVER => return Ok(Vec::new()),
            code => return Err(format!("Vulkan does not start (vkCreateInstance returned {code})")),
        }
        let found = self
            .physical_devices(instance)
            .map(|devices| ordered(devices.into_iter().filter_map(|device| self.describe(device)).collect()));
        // SAFETY: the instance was just created and is not used any more.
        unsafe { (self.destroy_instance)(instance, ptr::null()) };
        found
    }

    fn physical_devices(&self, instance: Handle) -> Result<Vec<Handle>, String> {
        let mut count = 0;
        // SAFETY: the instance lives; without a list the number of devices alone is written.
        let mut code = unsafe { (self.enumerate_physical_devices)(instance, &raw mut count, ptr::null_mut()) };
        let mut devices = vec![ptr::null_mut(); count as usize];
        if code == SUCCESS && count > 0 {
            // SAFETY: the list has room for `count` handles; the number of those written comes back in it.
            code = unsafe { (self.enumerate_physical_devices)(instance, &raw mut count, devices.as_mut_ptr()) };
        }
        if !matches!(code, SUCCESS | INCOMPLETE) {
            return Err(format!("Vulkan lists no devices (vkEnumeratePhysicalDevices returned {code})"));
        }
        devices.truncate(count as usize);
        Ok(devices)
    }

    /// `None` for a device of no kind that burn can name.
    fn describe(&self, device: Handle) -> Option<(String, AdapterKind)> {
        let mut properties = Properties {
            api_version: 0,
            driver_version: 0,
            vendor: 0,
            device: 0,
            kind: 0,
            name: [0; 256],
            rest: [0; 128],
        };
        // SAFETY: the device belongs to a living instance; the structure has at least the size that is written.
        unsafe { (self.get_physical_device_properties)(device, &raw mut properties) };
        let kind = match properties.kind {
            1 => AdapterKind::Integrated,
            2 => AdapterKind::Discrete,
            3 => AdapterKind::Virtual,
            4 => AdapterKind::Cpu,
            _ => return None,
        };
        let name: Vec<u8> = properties.name.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
        Some((String::from_utf8_lossy(&name).into_owned(), kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_adapters_come_first_and_are_numbered_within_their_kind() {
        let found = [
            ("llvmpipe", AdapterKind::Cpu),
            ("small", AdapterKind::Integrated),
            ("big", AdapterKind::Discrete),
            ("second llvmpipe", AdapterKind::Cpu),
            ("bigger", AdapterKind::Discrete),
        ];
        let adapters = ordered(found.map(|(name, kind)| (name.to_owned(), kind)).to_vec());
        let seen: Vec<_> = adapters.iter().map(|a| (a.name.as_str(), a.kind, a.index)).collect();
        let expected = [
            ("big", AdapterKind::Discrete, 0),
            ("bigger", AdapterKind::Discrete, 1),
            ("small", AdapterKind::Integrated, 0),
            ("llvmpipe", AdapterKind::Cpu, 0),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_loader_that_is_missing_or_none_is_a_sentence() {
        let missing = Loader::open(c"libno-such-loader.so.1").err();
        assert_eq!(missing.as_deref(), Some("the Vulkan loader (libno-such-loader.so.1) is not installed here"));
        let none = Loader::open(c"libc.so.6").err();
        assert_eq!(none.as_deref(), Some("the Vulkan loader has no vkCreateInstance"));
    }

    #[test]
    fn properties_lie_where_vulkan_writes_them() {
        assert_eq!(std::mem::offset_of!(Properties, kind), 16);
        assert_eq!(std::mem::offset_of!(Properties, name), 20);
        assert!(size_of::<Properties>() >= 824, "VkPhysicalDeviceProperties has 824 bytes");
    }
}
