//! RTP header extensions that str0m hands through unread: the bytes that a browser wrote.

use std::sync::Arc;

use str0m::rtp::{Extension, ExtensionMap, ExtensionSerializer, ExtensionValues};

const DEPENDENCY: &str = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
const ALLOCATION: &str = "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00";

/// Bytes of a dependency descriptor (AV1 RTP §A.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency(pub Arc<[u8]>);

/// Bytes of a video-layers-allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation(pub Arc<[u8]>);

/// str0m's usual extensions, and those of video with layers.
pub fn map() -> ExtensionMap {
    let mut map = ExtensionMap::standard();
    map.set(5, Extension::AbsoluteCaptureTime);
    map.set(6, Extension::with_serializer(DEPENDENCY, Raw::Dependency));
    map.set(7, Extension::with_serializer(ALLOCATION, Raw::Allocation));
    map
}

#[derive(Clone, Copy, Debug)]
enum Raw {
    Dependency,
    Allocation,
}

impl Raw {
    fn bytes(self, values: &ExtensionValues) -> Option<Arc<[u8]>> {
        match self {
            Self::Dependency => values.user_values.get::<Dependency>().map(|one| one.0.clone()),
            Self::Allocation => values.user_values.get::<Allocation>().map(|one| one.0.clone()),
        }
    }
}

impl ExtensionSerializer for Raw {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(bytes) = self.bytes(values) else {
            return 0;
        };
        let Some(room) = buffer.get_mut(..bytes.len()) else {
            return 0;
        };
        room.copy_from_slice(&bytes);
        bytes.len()
    }

    fn parse_value(&self, bytes: &[u8], values: &mut ExtensionValues) -> bool {
        match self {
            Self::Dependency => values.user_values.set(Dependency(bytes.into())),
            Self::Allocation => values.user_values.set(Allocation(bytes.into())),
        }
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }

    /// RFC 8285 §4.2: one byte of header carries 1 to 16 bytes.
    fn requires_two_byte_form(&self, values: &ExtensionValues) -> bool {
        self.bytes(values).is_some_and(|bytes| !(1..=16).contains(&bytes.len()))
    }
}
