//! The `MedicalTraining` resource as people write it.
