//! The native API: its parameters, its document, and how long a request waits.

mod faulty_requests;
mod main_job;
mod openapi;
mod selection;
mod waiting;
