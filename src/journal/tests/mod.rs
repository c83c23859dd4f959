//! The journal under everything that can happen to it.

mod codec;
mod damage;
mod faults;
mod house;
mod past;
mod power;
mod sim_disk;
mod story;
