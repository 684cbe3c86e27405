// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare;

import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A device whose conformance is asked. One thread. */
interface Candidate extends AutoCloseable {
    /** What its driver can do. */
    Seat seat();

    /** Endpoints that are there, at least one. */
    List<Integer> endpoints();

    /** Ids that no endpoint has. */
    List<Integer> absent();

    /**
     * Lets the first endpoint access memory.
     *
     * @return what came of it, or null if nobody can make it do so
     */
    @Nullable Effect access(Step.Access access) throws IOException, InterruptedException;

    @Override
    void close() throws IOException;
}
