// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.ioasis.pci.VirtioPciTransport;
import org.ioasis.vfiouser.VfioUserClient;
import org.jspecify.annotations.Nullable;

/** A device that any vfio-user server shows. Its endpoints are what is said of them. One thread. */
final class VfioUserCandidate implements Candidate {
    private static final int WAIT_MILLIS = 10_000;
    private static final long WAIT_NANOS = WAIT_MILLIS * 1_000_000L;

    private final VfioUserClient client;
    private final Seat seat;
    private final List<Integer> endpoints;
    private final List<Integer> absent;

    VfioUserCandidate(Path server, List<Integer> endpoints, List<Integer> absent)
            throws IOException {
        this.endpoints = List.copyOf(endpoints);
        this.absent = List.copyOf(absent);
        client = new VfioUserClient(server, QtestVmm.RAM_BYTES, WAIT_MILLIS);
        VirtioPciTransport transport = new VirtioPciTransport(client);
        try {
            transport.locate();
        } catch (IOException other) {
            client.close();
            throw other;
        }
        seat =
                new RingSeat(
                        server.toString(),
                        transport,
                        client.memory(),
                        WAIT_NANOS,
                        () -> {},
                        () -> "");
    }

    @Override
    public Seat seat() {
        return seat;
    }

    @Override
    public List<Integer> endpoints() {
        return endpoints;
    }

    @Override
    public List<Integer> absent() {
        return absent;
    }

    @Override
    public @Nullable Effect access(Step.Access access) {
        return null;
    }

    @Override
    public void close() {
        client.close();
    }
}
