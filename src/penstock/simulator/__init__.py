"""A simulated provider of the OpenAI family: for load tests, failure drills, and as the fault server of the tests.

It answers like the real thing, fails as it is told to, and keeps the bill that a provider would have kept.
"""

from penstock.simulator.background import BackgroundSimulator, running
from penstock.simulator.bill import Bill, fingerprint
from penstock.simulator.faults import FaultRate, InjectedFault, Outage, parse_fault, parse_fault_rate, parse_outage
from penstock.simulator.server import Simulator
from penstock.simulator.settings import SimulatorSettings

__all__ = [
    "BackgroundSimulator",
    "Bill",
    "FaultRate",
    "InjectedFault",
    "Outage",
    "Simulator",
    "SimulatorSettings",
    "fingerprint",
    "parse_fault",
    "parse_fault_rate",
    "parse_outage",
    "running",
]
