//! Bodies of requests to the endpoint: messages, batches and whatever else is posted there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toolmesh_data_plane::mcp::fuzzing;

fuzz_target!(|body: &[u8]| fuzzing::envelope(body));
