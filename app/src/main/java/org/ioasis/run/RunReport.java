// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.Status;
import org.ioasis.virtio.iommu.RequestType;

/**
 * What a run came to. Immutable; any thread.
 *
 * @param problems why the run is not good, in the order of importance; empty if it is
 * @param kernel the guest's kernel release
 * @param driver bound to the IOMMU, by PCI address
 * @param disks in the order of their endpoints
 * @param requests by type and answer; only those that happened
 * @param unanswered requests given back unwritten
 * @param faults accesses that the IOMMU refused
 * @param bytesVerified bytes of the result disk that were compared and found equal
 * @param steps what the guest did, in seconds of its clock
 * @param seconds from the start of the command to the verdict
 */
public record RunReport(
        List<String> problems,
        Optional<String> kernel,
        Map<String, String> driver,
        String accel,
        long seed,
        List<DiskReport> disks,
        Map<RequestType, Map<Status, Long>> requests,
        long unanswered,
        long faults,
        long bytesVerified,
        Map<String, Double> steps,
        double seconds) {

    /** A disk as guest and host saw it. */
    public record DiskReport(
            String name,
            String pci,
            String iommuGroup,
            String domainType,
            EndpointCounts accesses) {}

    public RunReport {
        problems = List.copyOf(problems);
        disks = List.copyOf(disks);
    }

    /** True if the host's check holds and nothing went past the IOMMU. */
    public boolean isOk() {
        return problems.isEmpty();
    }

    /** Sum over all endpoints. */
    public EndpointCounts accesses() {
        EndpointCounts sum = EndpointCounts.ZERO;
        for (DiskReport disk : disks) {
            sum = sum.plus(disk.accesses());
        }
        return sum;
    }
}
