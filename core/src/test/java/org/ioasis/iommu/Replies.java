// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.List;

/** Takes answers in the order in which they come. Loop thread. */
final class Replies {
    private final List<String> answers = new ArrayList<>();

    /** A completion that notes its answer as {@code name=STATUS}. */
    Completion as(String name) {
        return status -> answers.add(name + "=" + status);
    }

    List<String> all() {
        return answers;
    }

    /** The single answer since the last call; fails if there is none or several. */
    static final class One implements Completion {
        private final List<Status> got = new ArrayList<>();

        @Override
        public void complete(Status status) {
            got.add(status);
        }

        boolean isThere() {
            return !got.isEmpty();
        }

        Status status() {
            if (got.size() != 1) {
                throw new AssertionError("answers: " + got);
            }
            return got.getFirst();
        }
    }
}
