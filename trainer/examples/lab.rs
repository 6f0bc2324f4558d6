use burn_flex::Flex; use medtrain_trainer::{*, model::*, ops::*}; use medtrain_crds::stage::LoraArgs; use std::time::Instant; use std::sync::Arc;
fn main() { let dir=std::path::PathBuf::from(std::env::args().nth(1).unwrap()); let (b,t):(usize,usize)=(std::env::args().nth(2).unwrap().parse().unwrap(),std::env::args().nth(3).unwrap().parse().unwrap()); let ck=std::env::args().nth(4).is_some();
 let s=Instant::now(); let m=load::load::<Flex>(&dir,2048,&Default::default()).unwrap(); println!("load {:?}",s.elapsed());
 let lora=LoraArgs{rank:8,alpha:16.,dropout:0.05,target_modules:adapter::Projection::ALL.map(|p|p.name().to_string()).to_vec(),use_rslora:false,modules_to_save:vec![]};
 let mut params=adapter::init(&m,&lora,1).unwrap(); let mut opt=optim::AdamW::<Flex>::default();
 let ids:Vec<u32>=(0..b*t).map(|i| (i*7919%40000) as u32).collect(); let seg=Segments::from_lengths(vec![t;b]); let rows:Vec<usize>=(0..b*t).filter(|i| i%t!=t-1).collect(); let tg:Vec<u32>=rows.iter().map(|r| ids[r+1]).collect();
 for st in 0..5 { let s=Instant::now(); let ad=adapter::Adapter::view(m.config(),&lora,&params); let mut g=Gradients::default(); let pass=Pass{dropout_keys:Some(Arc::new((0..(b*t) as u32).collect())),gradient_checkpointing:ck,train_base:false};
  let mut fwd=0.0; let mut hd=0.0;
  let l=m.loss_and_grads(&ids,&seg,Some(&ad),&pass,&mut g,|h,_|{ fwd=s.elapsed().as_secs_f64(); let p=Flex::gather_rows(h,&rows); let w=vec![-1.0/rows.len() as f32;rows.len()]; let (s2,dh,_)=Flex::token_scores_backward(&p,m.head(None),&tg,1.0,&w,false); hd=s.elapsed().as_secs_f64()-fwd; Ok((-s2.logprobs.iter().sum::<f32>()/rows.len() as f32, Flex::scatter_rows(&dh,&rows,b*t))) }).unwrap();
  drop(ad); let tot=s.elapsed().as_secs_f64(); let n=g.global_norm();
  println!("step {st} loss {l} norm {n} fwd {fwd:.2} head {hd:.2} bwd {:.2} total {tot:.2} tok/s {:.0} rss {:?}MB", tot-fwd-hd,(b*t) as f64/tot, device::memory::peak().unwrap()/1000000); let _=(&mut params,&mut opt); } }
