//! With feature `dpdk`: finds libdpdk, compiles `dpdk/*.c` against it, reads `dpdk/hitless_dpdk.h` into Rust.
//!
//! Another DPDK than the installed one is checked through pkg-config's own variables, here a Debian 13 in `$R`:
//!
//! ```sh
//! P=$R/usr/lib/x86_64-linux-gnu/pkgconfig:$R/usr/share/pkgconfig
//! PKG_CONFIG_SYSROOT_DIR=$R PKG_CONFIG_LIBDIR=$P cargo check
//! ```

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "dpdk")]
    dpdk::build();
}

#[cfg(feature = "dpdk")]
mod dpdk {
    use std::{env, path::PathBuf, process::Command};

    const SOURCES: [&str; 5] = ["dpdk/device.c", "dpdk/eal.c", "dpdk/flow.c", "dpdk/pool.c", "dpdk/queue.c"];
    const HEADER: &str = "dpdk/hitless_dpdk.h";

    /// The oldest DPDK the C files are written for.
    const OLDEST: &str = "22.11";

    pub(super) fn build() {
        println!("cargo::rerun-if-changed=dpdk");
        if compile().and_then(|()| bind()).is_none() {
            println!(
                "cargo::error=DPDK {OLDEST} or newer is missing: apt-get install libdpdk-dev pkg-config libclang-dev"
            );
            println!("cargo::error=or build without it: cargo build --no-default-features");
        }
    }

    /// The C side, as an archive; `None` without DPDK.
    fn compile() -> Option<()> {
        let library = pkg_config::Config::new().atleast_version(OLDEST).probe("libdpdk").ok()?;
        let mut build = cc::Build::new();
        build
            .files(SOURCES)
            .includes(&library.include_paths)
            .std("gnu11")
            .opt_level(3)
            .warnings_into_errors(true);
        // `-include rte_config.h` and `-march`, which the library's own inline functions need.
        for flag in other_flags()?.split_whitespace() {
            build.flag(flag);
        }
        build.compile("hitless_dpdk");
        Some(())
    }

    fn other_flags() -> Option<String> {
        let tool = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
        let output = Command::new(tool).args(["--cflags-only-other", "libdpdk"]).output().ok()?;
        String::from_utf8(output.stdout).ok()
    }

    /// The header in Rust; `None` without libclang, of which bindgen panics: the two lines of [`build`] say
    /// more.
    fn bind() -> Option<()> {
        let target = PathBuf::from(env::var_os("OUT_DIR")?).join("hitless_dpdk.rs");
        std::panic::set_hook(Box::new(|_| ()));
        let bindings = std::panic::catch_unwind(|| {
            bindgen::Builder::default()
                .header(HEADER)
                .allowlist_item("(hl|HL)_.*")
                .rust_edition(bindgen::RustEdition::Edition2024)
                .default_macro_constant_type(bindgen::MacroTypeVariation::Unsigned)
                .derive_default(true)
                .no_default("hl_(mbuf|device_info|device_config)")
                .generate_comments(false)
                .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
                .generate()
        });
        drop(std::panic::take_hook());
        bindings.ok()?.ok()?.write_to_file(target).ok()
    }
}
