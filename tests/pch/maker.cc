// Empty: meson precompiles a header for a target that has sources.
