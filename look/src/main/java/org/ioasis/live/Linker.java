// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.virtio.iommu.IommuRequest;

/** Finds what refused accesses came from, in the entries of several IOMMUs. One thread. */
public final class Linker {
    private final Map<String, Causes> causes = new HashMap<>();

    /** Takes where an endpoint is when the entries begin. */
    public void attached(String who, int endpoint, int domain) {
        causes.computeIfAbsent(who, _ -> new Causes()).attached(endpoint, domain);
    }

    /** The entry with what is known of what came before. In the order in which it happened. */
    public Entry.Timed linked(Entry.Timed timed) {
        Causes before = causes.computeIfAbsent(timed.who(), _ -> new Causes());
        return switch (timed.entry()) {
            case Entry.Answered(IommuRequest request, Status status, String why) -> {
                before.answered(timed.time(), request, status, why);
                yield timed;
            }
            case Entry.Reset() -> {
                before.reset();
                yield timed;
            }
            case Entry.Refused(Fault fault, String _) ->
                    new Entry.Timed(
                            timed.time(), timed.who(), new Entry.Refused(fault, before.of(fault)));
            default -> timed;
        };
    }
}
