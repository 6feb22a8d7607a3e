"""A simulated provider of the OpenAI family: for load tests, failure drills, and as the fault server of the tests.

It answers like the real thing, fails as it is told to, and keeps the bill that a provider would have kept.
"""

from penstock.simulator.background import BackgroundSimulator, running
from penstock.simulator.bill import Bill, KeyBill, fingerprint, key_label
from penstock.simulator.faults import FaultRate, InjectedFault, parse_fault, parse_fault_rate
from penstock.simulator.keys import KeyDeath, parse_key_death
from penstock.simulator.outages import Breakdown, Flapping, Outage, parse_outage
from penstock.simulator.server import Simulator
from penstock.simulator.settings import SimulatorSettings

__all__ = [
    "BackgroundSimulator",
    "Bill",
    "Breakdown",
    "FaultRate",
    "Flapping",
    "InjectedFault",
    "KeyBill",
    "KeyDeath",
    "Outage",
    "Simulator",
    "SimulatorSettings",
    "fingerprint",
    "key_label",
    "parse_fault",
    "parse_fault_rate",
    "parse_key_death",
    "parse_outage",
    "running",
]
