//! The losses that are generic over the backend, with the gradients that autodiff gives. Stages compute them on the CPU
//! ([`medtrain_trainer::objective::Host`]); here they say whether autodiff over CubeCL is right.

use burn::{
    backend::Autodiff,
    tensor::{Bool, Tensor, TensorData, backend::AutodiffBackend},
};
use burn_flex::Flex;
use medtrain_trainer::objective::{
    bradley_terry::{centering_loss, pairwise_loss},
    policy_loss::clipped_surrogate,
    value_loss::clipped_value_loss,
};

use crate::{
    Gpu,
    compare::{Results, hold, on_gpu, values},
};

fn host<B: AutodiffBackend>(tensor: Tensor<B, 1>) -> Vec<f32> {
    tensor.into_data().to_vec().unwrap()
}

fn marks<B: AutodiffBackend>(tensor: Tensor<B, 1, Bool>) -> Vec<f32> {
    host(tensor.float())
}

fn losses<B: AutodiffBackend>(device: &B::Device, n: usize) -> Results {
    let random = |seed, scale: f32| -> Tensor<B, 1> {
        let values: Vec<f32> = values(seed, n).iter().map(|v| v * scale).collect();
        Tensor::from_data(TensorData::new(values, [n]), device)
    };
    let mut results = Results::new();
    let mut keep = |name: &str, loss: Tensor<B, 1>, leaves: &[&Tensor<B, 1>]| {
        let gradients = loss.backward();
        results.push((name.into(), host(loss)));
        for (index, leaf) in leaves.iter().enumerate() {
            let gradient = Tensor::<B, 1>::from_inner(leaf.grad(&gradients).unwrap());
            results.push((format!("{name}, gradient {index}"), host(gradient)));
        }
    };
    let (chosen, rejected) = (random(1, 9.0).require_grad(), random(2, 9.0).require_grad());
    let margin = random(3, 1.0);
    keep("pairs", pairwise_loss(chosen.clone(), rejected.clone(), None), &[&chosen, &rejected]);
    keep("pairs with margin", pairwise_loss(chosen.clone(), rejected.clone(), Some(margin)), &[&chosen, &rejected]);
    keep("centring", centering_loss(chosen.clone(), rejected.clone()), &[&chosen, &rejected]);

    let logprobs = random(4, 2.0).require_grad();
    let policy = clipped_surrogate(logprobs.clone(), random(5, 2.0), random(6, 1.0), 0.2);
    keep("policy", policy.per_token, &[&logprobs]);
    let new_values = random(7, 1.0).require_grad();
    let value = clipped_value_loss(new_values.clone(), random(8, 1.0), random(9, 1.0), 0.2);
    keep("value", value.per_token, &[&new_values]);
    results.push(("ratio".into(), host(policy.ratio)));
    results.push(("clipped policy".into(), marks(policy.clipped)));
    results.push(("clipped value".into(), marks(value.clipped)));
    results
}

#[test]
fn losses_of_reward_model_and_ppo_with_their_gradients() {
    on_gpu(|device| {
        for n in [1, 3, 7, 33, 130] {
            let cpu = losses::<Autodiff<Flex>>(&Default::default(), n);
            hold(&format!("losses of {n}"), &cpu, &losses::<Autodiff<Gpu>>(device, n), 1e-5);
        }
    });
}
