mod curves;
mod dashboard;
