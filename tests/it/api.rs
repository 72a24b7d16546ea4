//! The native API: its parameters, its document, and how long a request waits.

mod department_paths;
mod faulty_requests;
mod languages;
mod main_job;
mod openapi;
mod partial_exports;
mod selection;
mod sorted_user_days;
mod unknown_selections;
mod waiting;
