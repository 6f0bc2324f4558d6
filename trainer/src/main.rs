//! The program `medtrain`; everything is in the library.

fn main() -> std::process::ExitCode {
    medtrain_trainer::cli::main()
}
