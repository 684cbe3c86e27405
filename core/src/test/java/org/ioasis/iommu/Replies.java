// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import static java.util.Objects.requireNonNull;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

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

        private @Nullable Refusal refusal;

        @Override
        public void complete(Status status) {
            got.add(status);
        }

        @Override
        public void refused(Refusal why) {
            refusal = why;
            complete(why.status());
        }

        /** Why a request about mappings was refused, as people read it. */
        String why(Iommu iommu, @Nullable Domain domain, long first, long last) {
            int id = domain == null ? 0 : domain.id();
            return requireNonNull(refusal)
                    .explain(new Refusal.Question(iommu, 0, id, domain, first, last, 0, 0));
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
