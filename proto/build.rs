//! Compiles the protocol with protox, so that no `protoc` is needed on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files =
        ["config", "connector", "telemetry", "credential", "peer"].map(|f| format!("toolmesh/v1/{f}.proto"));
    println!("cargo:rerun-if-changed=toolmesh");
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
