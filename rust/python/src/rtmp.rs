//! `RtmpSession`: one encoder's connection, for the worker that takes encoders in. Needs no media thread and starts none.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use rostra_ingest::{Event, Session, SessionError, Value};

pyo3::create_exception!(
    rostra._media,
    RtmpError,
    pyo3::exceptions::PyException,
    "The connection is to be closed; the text says why."
);

/// One connection of an encoder, sans-IO.
#[pyclass(module = "rostra._media")]
pub struct RtmpSession {
    session: Session,
}

#[pymethods]
impl RtmpSession {
    #[new]
    fn new() -> Self {
        Self {
            session: Session::new(),
        }
    }

    /// Take bytes in: what the encoder did, in order.
    fn receive<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let events = self.guarded(|session| session.receive(data))?;
        events.into_iter().map(|event| to_tuple(py, event)).collect()
    }

    /// Bytes for the encoder.
    fn take_output<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.session.take_output())
    }

    /// Let it publish.
    fn accept(&mut self) -> PyResult<()> {
        self.guarded(Session::accept)
    }

    /// Say no to a publisher.
    fn refuse(&mut self, code: &str, description: &str) -> PyResult<()> {
        self.guarded(|session| session.refuse(code, description))
    }

    /// Tell a publisher that it is over.
    fn end(&mut self, code: &str, description: &str) -> PyResult<()> {
        self.guarded(|session| session.end(code, description))
    }
}

impl RtmpSession {
    /// A panic costs the one connection: it is an error of its session, which is of no use afterwards.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut Session) -> Result<T, SessionError>) -> PyResult<T> {
        let session = &mut self.session;
        match catch_unwind(AssertUnwindSafe(|| call(session))) {
            Ok(outcome) => outcome.map_err(|error| RtmpError::new_err(error.to_string())),
            Err(_) => {
                self.session = Session::new();
                Err(RtmpError::new_err("an invariant of the RTMP reader broke"))
            }
        }
    }
}

fn to_tuple(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    match event {
        Event::Connect { app, tc_url } => ("connect", app, tc_url).into_pyobject(py),
        Event::Publish { name } => ("publish", name).into_pyobject(py),
        Event::Audio { timestamp, data } => ("audio", timestamp, PyBytes::new(py, &data)).into_pyobject(py),
        Event::Video { timestamp, data } => ("video", timestamp, PyBytes::new(py, &data)).into_pyobject(py),
        Event::Data {
            timestamp,
            name,
            values,
        } => {
            let values = values
                .iter()
                .map(|value| to_object(py, value))
                .collect::<PyResult<Vec<_>>>()?;
            ("data", timestamp, name, values).into_pyobject(py)
        }
        Event::Unreadable { why } => ("unreadable", why).into_pyobject(py),
        Event::Unpublish => ("unpublish",).into_pyobject(py),
    }
}

/// AMF as Python has it; the reader capped its depth and number. Dates are milliseconds since 1970.
fn to_object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Number(number) | Value::Date(number) => number.into_pyobject(py)?.into_any(),
        Value::Boolean(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Null => py.None().into_bound(py),
        Value::Array(values) => {
            let list = PyList::empty(py);
            for one in values {
                list.append(to_object(py, one)?)?;
            }
            list.into_any()
        }
        Value::Object(fields) => {
            let object = PyDict::new(py);
            for (name, one) in fields {
                object.set_item(name, to_object(py, one)?)?;
            }
            object.into_any()
        }
    })
}
