// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Status;
import org.ioasis.iommufd.engine.GuestTableCounts;
import org.ioasis.virtio.iommu.RequestType;
import org.ioasis.virtio.net.NetCounters;
import org.ioasis.vm.Ending;

/**
 * What a run came to. Immutable; any thread.
 *
 * @param problems why the run is not good, in the order of importance; empty if it is
 * @param ending how the guest ended
 * @param status of the command or shell that it ran, if it said one
 * @param kernel the guest's kernel release
 * @param driver bound to the IOMMU, by PCI address
 * @param rings how the virtqueues of a device lay in memory when it was started last, by device;
 *     those of the IOMMUs first
 * @param devices in the order of their functions
 * @param requests by type and answer; only those that happened
 * @param unanswered requests given back unwritten
 * @param faults accesses that the IOMMU refused
 * @param bytesVerified bytes of the result disk that were compared and found equal; with a network,
 *     those that went over it either way and whose hash was right
 * @param guestTables what the guest's own tables in front of its devices came to, if it has some
 * @param network what went over the guest's network, if it has one
 * @param steps what the guest did, in seconds of its clock
 * @param seconds from the start of the command to the verdict
 */
public record RunReport(
        List<String> problems,
        Ending ending,
        Optional<Integer> status,
        Optional<String> kernel,
        Map<String, String> driver,
        String accel,
        long seed,
        Map<String, String> rings,
        List<DeviceReport> devices,
        Map<RequestType, Map<Status, Long>> requests,
        long unanswered,
        long faults,
        long bytesVerified,
        Optional<GuestTableCounts> guestTables,
        Optional<NetworkReport> network,
        Map<String, Double> steps,
        double seconds) {

    /**
     * A device as guest and host saw it.
     *
     * @param kind "disk" or "net"
     */
    public record DeviceReport(
            String kind,
            String name,
            String pci,
            String iommuGroup,
            String domainType,
            EndpointCounts accesses) {}

    /**
     * What went over a guest's network: down is what the guest got, up is what it sent.
     *
     * @param frames what the device counted
     */
    public record NetworkReport(
            long downBytes, long upBytes, NetCounters frames, double exchangeSeconds) {}

    public RunReport {
        problems = List.copyOf(problems);
        rings = Collections.unmodifiableMap(new LinkedHashMap<>(rings));
        devices = List.copyOf(devices);
    }

    /** Exit code of a command that was to come to this, and did not if it is not 0. */
    public int code() {
        if (isOk()) {
            return 0;
        }
        // A guest that powers off has come to its end and done something else than it should.
        return ending == Ending.POWER_OFF ? 1 : ending.code();
    }

    /** True if the host's check holds and nothing went past the IOMMU. */
    public boolean isOk() {
        return problems.isEmpty();
    }

    /** Sum over all endpoints. */
    public EndpointCounts accesses() {
        EndpointCounts sum = EndpointCounts.ZERO;
        for (DeviceReport device : devices) {
            sum = sum.plus(device.accesses());
        }
        return sum;
    }
}
