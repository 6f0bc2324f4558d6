//! Paths in a resource are relative to the folder of its file.

use std::path::Path;

use super::MedicalTraining;

impl MedicalTraining {
    /// Puts `folder` before every relative path: model, tokenizer, output, inputs, data. URIs with a scheme and absolute
    /// paths stay. Keys do not change by it: they know content only.
    pub fn anchor_paths(&mut self, folder: &Path) {
        let spec = &mut self.spec;
        let mut paths: Vec<&mut String> = spec.model.uri.iter_mut().chain(spec.model.tokenizer.as_mut()).collect();
        paths.extend(spec.output.as_mut().map(|output| &mut output.uri));
        for stage in &mut spec.stages {
            if let Some(dataset) = &mut stage.dataset {
                paths.extend(dataset.train.iter_mut().chain(&mut dataset.eval));
            }
            if let Some(inputs) = &mut stage.inputs {
                let roles = [
                    &mut inputs.policy,
                    &mut inputs.base,
                    &mut inputs.reference,
                    &mut inputs.reward,
                    &mut inputs.adapter,
                ];
                paths.extend(roles.into_iter().filter_map(|input| input.as_mut()?.uri.as_mut()));
            }
        }
        for path in paths {
            if !path.contains("://") && Path::new(path.as_str()).is_relative() {
                *path = folder.join(path.trim_start_matches("./")).to_string_lossy().into_owned();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_files_folder_and_uris_stay() {
        let yaml = "{apiVersion: medtrain.io/v1alpha1, kind: MedicalTraining, metadata: {name: t}, spec: {
            model: {uri: ./model}, output: {uri: 's3://out'}, stages: [{name: sft, kind: SFT,
            inputs: {adapter: {uri: ../adapter}}, dataset: {train: ['data/*.jsonl', /abs.jsonl], eval: ['hf://datasets/a/b/c']}}]}}";
        let mut training = MedicalTraining::parse(yaml, "t.yaml").unwrap();
        training.anchor_paths(Path::new("/home/me"));
        let stage = &training.spec.stages[0];
        let (dataset, inputs) = (stage.dataset.as_ref().unwrap(), stage.inputs.as_ref().unwrap());
        assert_eq!(training.spec.model.uri.as_deref(), Some("/home/me/model"));
        assert_eq!(training.spec.output.as_ref().unwrap().uri, "s3://out");
        assert_eq!(dataset.train, ["/home/me/data/*.jsonl", "/abs.jsonl"]);
        assert_eq!(dataset.eval, ["hf://datasets/a/b/c"]);
        assert_eq!(inputs.adapter.as_ref().unwrap().uri.as_deref(), Some("/home/me/../adapter"));
    }
}
