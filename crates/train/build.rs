//! Lets the program find libtorch where it was linked from. The path is a
//! RUNPATH, which LD_LIBRARY_PATH overrides, so that the same program can run
//! against the CUDA build of another folder.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(libtorch) = std::env::var_os("LIBTORCH") {
        let lib = std::path::Path::new(&libtorch).join("lib");
        println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}
