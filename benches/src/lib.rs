//! Every benchmark of rowmill, in one program: `cargo bench -p rowmill-benches`. The figures stand in docs/benchmarks.md.
